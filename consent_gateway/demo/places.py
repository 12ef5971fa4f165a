"""Where the demo's customers live: countries, cities, how their addresses and numbers look; plain data, no chance.

Telephone numbers come from the ranges that regulators keep for films and books where there are such ranges
(Bundesnetzagentur, Arcep, Ofcom, ComReg, NANPA 555-01xx, ACMA); elsewhere from one narrow block. `#` stands for a digit
and `@` for a letter.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Country:
    """How a country's customers look: Faker locale, share of all customers in percent, languages with weights."""

    code: str
    locale: str
    share: int
    currency: str
    languages: tuple[tuple[str, int], ...]
    phones: tuple[str, ...]
    number_first: bool = False  # the house number stands before the street's name


@dataclass(frozen=True, slots=True)
class City:
    """A city with a shop: its place, the pattern of its postcodes and its weight within the country."""

    country: str
    region: str | None  # subdivision code, in the United States and Canada only
    name: str
    latitude: float
    longitude: float
    postcode: str
    weight: int
    language: str | None = None  # where it is not the country's


# One number a line would hide these lists.
# fmt: off
_US_AREAS = (
    201, 203, 205, 206, 209, 210, 212, 213, 214, 215, 216, 217, 240, 253, 281, 301, 303, 305, 310, 312, 313, 314, 315,
    323, 347, 360, 401, 402, 404, 408, 410, 412, 415, 424, 425, 443, 469, 503, 504, 510, 512, 513, 516, 541, 551, 562,
    571, 602, 609, 612, 614, 615, 617, 619, 626, 646, 650, 651, 702, 703, 704, 713, 714, 716, 717, 718, 719, 720, 732,
    757, 760, 801, 804, 805, 818, 830, 831, 832, 845, 848, 856, 858, 860, 862, 908, 909, 914, 916, 917, 919, 925, 949,
    951, 970, 971, 972, 973,
)
_CA_AREAS = (
    226, 236, 289, 306, 343, 365, 403, 416, 418, 437, 438, 450, 506, 514, 519, 579, 581, 604, 613, 647, 705, 819, 902,
    905,
)
_GB_BLOCKS = (
    113496, 114496, 116496, 117496, 118496, 121496, 131496, 141496, 151496, 161496, 191498, 207946, 292018,
)
# fmt: on

COUNTRIES = (
    Country(
        "DE",
        "de_DE",
        28,
        "EUR",
        (("de", 90), ("en", 6), ("tr", 4)),
        ("+493023125####", "+498999998####", "+496990009####", "+494066969####", "+492214710####"),
    ),
    Country("AT", "de_AT", 7, "EUR", (("de", 94), ("en", 6)), ("+431555#####",)),
    Country(
        "FR",
        "fr_FR",
        9,
        "EUR",
        (("fr", 94), ("en", 6)),
        ("+3319900####", "+3326191####", "+3335301####", "+3346571####", "+3353649####"),
        number_first=True,
    ),
    Country("NL", "nl_NL", 6, "EUR", (("nl", 88), ("en", 12)), ("+3161234####",)),
    Country("ES", "es_ES", 6, "EUR", (("es", 90), ("ca", 10)), ("+3461234####",)),
    Country("IE", "en_IE", 3, "EUR", (("en", 98), ("ga", 2)), ("+3532091#####",), number_first=True),
    Country(
        "GB",
        "en_GB",
        10,
        "GBP",
        (("en", 97), ("pl", 3)),
        tuple(f"+44{block}0###" for block in _GB_BLOCKS),
        number_first=True,
    ),
    Country("CH", "de_CH", 4, "CHF", (("de", 70), ("fr", 22), ("it", 8)), ("+4144555####",)),
    Country(
        "US",
        "en_US",
        15,
        "USD",
        (("en", 88), ("es", 12)),
        tuple(f"+1{area}55501##" for area in _US_AREAS),
        number_first=True,
    ),
    Country(
        "CA",
        "en_CA",
        4,
        "CAD",
        (("en", 90), ("fr", 10)),
        tuple(f"+1{area}55501##" for area in _CA_AREAS),
        number_first=True,
    ),
    Country("BR", "pt_BR", 3, "BRL", (("pt", 100),), ("+551191234####",)),
    Country(
        "AU",
        "en_AU",
        2,
        "AUD",
        (("en", 100),),
        ("+6127010####", "+6137010####", "+6177010####", "+6187010####"),
        number_first=True,
    ),
    Country("JP", "ja_JP", 2, "JPY", (("ja", 96), ("en", 4)), ("+81901234####",)),
    Country("IN", "en_IN", 1, "INR", (("en", 60), ("hi", 40)), ("+91981234####",), number_first=True),
)

CITIES = (
    City("DE", None, "Berlin", 52.5200, 13.4050, "10###", 30),
    City("DE", None, "Hamburg", 53.5511, 9.9937, "20###", 15),
    City("DE", None, "München", 48.1351, 11.5820, "80###", 17),
    City("DE", None, "Köln", 50.9375, 6.9603, "50###", 14),
    City("DE", None, "Leipzig", 51.3397, 12.3731, "04###", 12),
    City("DE", None, "Stuttgart", 48.7758, 9.1829, "70###", 12),
    City("AT", None, "Wien", 48.2082, 16.3738, "1##0", 60),
    City("AT", None, "Graz", 47.0707, 15.4395, "80##", 22),
    City("AT", None, "Linz", 48.3069, 14.2858, "40##", 18),
    City("FR", None, "Paris", 48.8566, 2.3522, "750##", 50),
    City("FR", None, "Lyon", 45.7640, 4.8357, "6900#", 28),
    City("FR", None, "Nantes", 47.2184, -1.5536, "440##", 22),
    City("NL", None, "Amsterdam", 52.3676, 4.9041, "10## @@", 45),
    City("NL", None, "Utrecht", 52.0907, 5.1214, "35## @@", 30),
    City("NL", None, "Rotterdam", 51.9244, 4.4777, "30## @@", 25),
    City("ES", None, "Madrid", 40.4168, -3.7038, "280##", 45),
    City("ES", None, "Barcelona", 41.3874, 2.1686, "080##", 35),
    City("ES", None, "Valencia", 39.4699, -0.3763, "460##", 20),
    City("IE", None, "Dublin", 53.3498, -6.2603, "D0# @###", 70),
    City("IE", None, "Cork", 51.8985, -8.4756, "T12 @###", 30),
    City("GB", None, "London", 51.5074, -0.1278, "E# #@@", 45),
    City("GB", None, "Manchester", 53.4808, -2.2426, "M# #@@", 20),
    City("GB", None, "Bristol", 51.4545, -2.5879, "BS# #@@", 18),
    City("GB", None, "Edinburgh", 55.9533, -3.1883, "EH# #@@", 17),
    City("CH", None, "Zürich", 47.3769, 8.5417, "80##", 50),
    City("CH", None, "Bern", 46.9480, 7.4474, "30##", 25),
    City("CH", None, "Lausanne", 46.5197, 6.6323, "10##", 25, "fr"),
    City("US", "CA", "San Francisco", 37.7749, -122.4194, "941##", 16),
    City("US", "CA", "Los Angeles", 34.0522, -118.2437, "900##", 14),
    City("US", "NY", "New York", 40.7128, -74.0060, "100##", 14),
    City("US", "TX", "Austin", 30.2672, -97.7431, "787##", 9),
    City("US", "CO", "Denver", 39.7392, -104.9903, "802##", 7),
    City("US", "CT", "Hartford", 41.7658, -72.6734, "061##", 5),
    City("US", "MD", "Baltimore", 39.2904, -76.6122, "212##", 5),
    City("US", "VA", "Richmond", 37.5407, -77.4360, "232##", 5),
    City("US", "OR", "Portland", 45.5152, -122.6784, "972##", 5),
    City("US", "NJ", "Newark", 40.7357, -74.1724, "071##", 5),
    City("US", "WA", "Seattle", 47.6062, -122.3321, "981##", 5),
    City("US", "FL", "Miami", 25.7617, -80.1918, "331##", 4),
    City("US", "MN", "Minneapolis", 44.9778, -93.2650, "554##", 3),
    City("US", "MA", "Boston", 42.3601, -71.0589, "021##", 3),
    City("CA", "ON", "Toronto", 43.6532, -79.3832, "M#@ #@#", 50),
    City("CA", "QC", "Montréal", 45.5019, -73.5674, "H#@ #@#", 34, "fr"),
    City("CA", "BC", "Vancouver", 49.2827, -123.1207, "V#@ #@#", 16),
    City("BR", None, "São Paulo", -23.5505, -46.6333, "01###-###", 65),
    City("BR", None, "Curitiba", -25.4284, -49.2733, "80###-###", 35),
    City("AU", None, "Melbourne", -37.8136, 144.9631, "30##", 55),
    City("AU", None, "Sydney", -33.8688, 151.2093, "20##", 45),
    City("JP", None, "Tokyo", 35.6762, 139.6503, "1##-00##", 70),
    City("JP", None, "Osaka", 34.6937, 135.5023, "5##-00##", 30),
    City("IN", None, "Bengaluru", 12.9716, 77.5946, "5600##", 60),
    City("IN", None, "Mumbai", 19.0760, 72.8777, "4000##", 40),
)


def fill(pattern: str, digits: int) -> str:
    """`pattern` with its `#` filled from the right by the decimal digits of `digits`, zeros before them."""
    blanks = pattern.count("#")
    text = iter(str(digits % 10**blanks).zfill(blanks))
    return "".join(next(text) if letter == "#" else letter for letter in pattern)


def phone(country: Country, n: int) -> str | None:
    """The `n`-th fictional number of a country in E.164, each given once; None when its blocks are used up."""
    pattern = country.phones[n % len(country.phones)]
    capacity = 10 ** pattern.count("#")
    place = n // len(country.phones)
    # The multiplier shares no factor with ten, so this only shuffles the block.
    return fill(pattern, (place * 7919 + 1234) % capacity) if place < capacity else None
