"""Encodings: each is found by texts of the languages that are written in it, or is in doubt."""

import random

import pytest

from gatewise.vocab.corpus.text_encoding import find_encodings

WESTERN = {
    "German": "Die Lieferung kam zu spät.|Größe und Farbe passen überhaupt nicht.|Schöne Grüße!",
    "French": "Très déçu, l'écran s'est cassé.|Où est ma commande ?|Ça va, merci à vous.",
    "Spanish": "¿Dónde está mi pedido?|El envío llegó pasado mañana.|¡Qué rápido, señor!",
    "Portuguese": "A encomenda não chegou.|Não há solução, são três dias.|Avó e avô estão cá.",
    "Italian": "La qualità è buona.|Perché non è più così?|Però è già lunedì.",
    "Swedish": "Paketet kom för sent.|Lådan var trasig, väldigt dåligt.|Här är två till.",
    "Danish": "Pakken kom for sent på søndag.|Det er ærgerligt.|Skærmen gik i stykker, ø.",
    "English": "It’s late – don’t wait.|£20 for “this” café…|Naïve, isn’t it?",
}
CENTRAL = {
    "Polish": "Przesyłka dotarła za późno.|Gdzie jest moje zamówienie?|Jakość dźwięku świetna.",
    "Czech": "Zásilka dorazila příliš pozdě.|Kde je moje objednávka?|Už uběhly tři týdny, děkuji.",
    "Hungarian": "A csomag túl későn érkezett.|Hol van a rendelésem?|Gyönyörű, köszönöm szépen.",
}
CYRILLIC = "Посылка пришла слишком поздно.|Экран сломался через день.|Где мой заказ?"
KNOWN = [
    *((text, "cp1252") for text in WESTERN.values()),
    *((text, "cp1250") for text in CENTRAL.values()),
    (WESTERN["German"], "mac_roman"),
    (WESTERN["French"], "cp850"),
    (CENTRAL["Polish"], "iso8859_2"),
    ("Kargo çok geç geldi, paramı geri istiyorum.|Siparişim nerede, ağır geliyor.", "cp1254"),
    (
        "Siuntinys atėjo per vėlai.|Kur mano užsakymas? Praėjo trys savaitės, ačiū, ąžuolas.",
        "cp1257",
    ),
    (CYRILLIC, "cp1251"),
    (CYRILLIC, "koi8_r"),
    (CYRILLIC, "cp866"),
    ("Το δέμα ήρθε πολύ αργά.|Πού είναι η παραγγελία μου;", "cp1253"),
    ("החבילה הגיעה מאוחר מדי, אני רוצה את הכסף בחזרה.", "cp1255"),
    ("وصل الطرد متأخرا جدا وأريد استرداد أموالي.|انكسرت الشاشة بعد يوم واحد.", "cp1256"),
    (
        "包裹来得太晚了,我想退款。|屏幕一天后就坏了,非常失望。|我的订单在哪里?已经三个星期了。",
        "gb18030",
    ),
    ("螢幕一天後就壞了,非常失望。|我的訂單在哪裡?已經三個星期了。|音質很好,推薦給大家。", "big5"),
    (
        "荷物の到着が遅すぎたので、返金してください。|画面が一日で壊れました。とても残念です。",
        "cp932",
    ),
    (
        "画面が一日で壊れました。とても残念です。|注文はどこにありますか。もう三週間になります。",
        "euc_jp",
    ),
    ("화면이 하루 만에 고장났어요. 정말 실망입니다.|제 주문은 어디에 있나요?|추천합니다.", "cp949"),
]


HINDI = "पार्सल बहुत देर से आया|सब कुछ बढ़िया रहा"


def corpus(texts: str, encoding: str) -> bytes:
    """A CSV file in which most rows are ASCII."""
    rows = [f'{number},"{text}",a' for number, text in enumerate(texts.split("|"))]
    rows += [f"{number},plain words only,b" for number in range(20)]
    random.Random(1).shuffle(rows)
    return "\r\n".join(["id,text,label", *rows, ""]).encode(encoding)


@pytest.mark.parametrize(("texts", "encoding"), KNOWN)
def test_an_encoding_is_found_by_what_is_written_in_it(texts: str, encoding: str) -> None:
    sample = corpus(texts, encoding)
    found = find_encodings(sample)
    assert [sample.decode(name) for name in found] == [sample.decode(encoding)]


@pytest.mark.parametrize("texts", [*WESTERN.values(), CYRILLIC, HINDI, "包裹来得太晚了"])
@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16-LE"),
        ("utf-16-be", "UTF-16-BE"),
        ("utf-32", "UTF-32"),
    ],
)
def test_unicode_is_never_in_doubt(texts: str, encoding: str, found: str) -> None:
    assert find_encodings(corpus(texts, encoding)) == (found,)


def test_damaged_bytes_and_nul_do_not_make_utf_8_something_else() -> None:
    damaged = corpus(WESTERN["German"], "utf-8").replace(b"spe", b"\xff") + b"caf\xe9,\xff\n"
    assert find_encodings(damaged) == ("UTF-8",)
    assert find_encodings(b"text,label\na\0b,c\n" * 9) == ("UTF-8",)
    assert find_encodings(b"text,n\n,0\0\n") == ("UTF-8",)
    assert find_encodings(b"") == ("UTF-8",)


def test_letters_that_two_languages_could_have_are_in_doubt() -> None:
    assert find_encodings("text\nseñor\n".encode("cp1252")) == ("cp1252", "cp1250")
    # With more letters it is Spanish alone.
    assert find_encodings("text\nseñor, ¿qué está?\n".encode("cp1252")) == ("cp1252",)


def test_a_few_letters_of_another_script_are_in_doubt() -> None:
    found = find_encodings("text,label\nhello,是\nhi,否\n".encode("gb18030"))
    assert "gb18030" in found
    assert len(found) > 1


def test_code_pages_that_give_the_same_text_are_not_in_doubt() -> None:
    assert find_encodings("text\ncafé\n".encode("cp1250")) == ("cp1252",)


def test_what_is_no_text_has_no_encoding() -> None:
    assert find_encodings(bytes(range(256)) * 20) == ()
