"""The customers' side of the web room: their browser's cookies and forms, signing in and out, unsubscribing."""
