"""Mail by SMTP over verified TLS, one connection for each mail; queues nothing and never sends in the clear."""

import smtplib
import ssl
from dataclasses import dataclass

from consent_gateway.customer_settings import SmtpServer
from consent_gateway.customers.mail import Mail, MailRefused, MailUndelivered, Sender, message_of
from consent_gateway.ports import Clock

SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SmtpMailer:
    """Hands mail to the retailer's mail server."""

    server: SmtpServer
    sender: Sender
    clock: Clock
    tls: ssl.SSLContext

    def send(self, mail: Mail) -> None:
        """As `Mailer.send`. The server's words go into no message of ours: they quote addresses."""
        message = message_of(mail, self.sender, self.clock.now())
        try:
            with self._connected() as connection:
                connection.send_message(message, self.sender.address, [mail.recipient])
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _words in error.recipients.values()}
            if all(500 <= code < 600 for code in codes):
                raise MailRefused("the mail server refuses the recipient") from None
            raise MailUndelivered("the mail server does not take the recipient now") from None
        except smtplib.SMTPNotSupportedError as error:
            raise MailUndelivered("the mail server lacks STARTTLS, login or SMTPUTF8, which is needed") from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailUndelivered(f"the mail server did not take it ({type(error).__name__})") from None

    def _connected(self) -> smtplib.SMTP:
        server = self.server
        if server.implicit_tls:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=SECONDS, context=self.tls)
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=SECONDS)
        try:
            if not server.implicit_tls:
                connection.starttls(context=self.tls)  # raises where the server does not offer it
            if server.login is not None and server.password is not None:
                connection.login(server.login, server.password)
        except BaseException:
            connection.close()
            raise
        return connection
