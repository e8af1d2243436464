//! The names in `\p{…}`: Unicode's general categories and scripts, and nothing else.
//!
//! Newer versions of Go also accept the long names of categories, and ignore case, `_`, `-` and spaces. Names of older
//! versions mean the same.

use regex_syntax::Parser;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::Refusal;

/// A set of characters with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    Any,
    Ascii,
    Assigned,
    Surrogates,
    /// A general category, by its short name.
    Category(&'static str),
    Script(&'static str),
}

impl Property {
    pub(super) fn named(name: &str) -> Option<Self> {
        let is = |other: &&str| same_name(name, other);
        for (property, plain) in [
            (Self::Any, "Any"),
            (Self::Ascii, "ASCII"),
            (Self::Assigned, "Assigned"),
            (Self::Surrogates, "Cs"),
            (Self::Surrogates, "Surrogate"),
        ] {
            if is(&plain) {
                return Some(property);
            }
        }
        let category = CATEGORIES
            .iter()
            .find(|(short, names)| is(short) || names.split(' ').any(|name| is(&name)));
        if let Some((short, _)) = category {
            return Some(Self::Category(short));
        }
        SCRIPTS.split_ascii_whitespace().find(is).map(Self::Script)
    }

    /// Its characters.
    pub(super) fn class(self) -> Result<ClassUnicode, Refusal> {
        match self {
            Self::Any => Ok(range('\0', char::MAX)),
            Self::Ascii => Ok(range('\0', '\x7f')),
            Self::Surrogates => Ok(ClassUnicode::empty()),
            Self::Assigned => {
                let mut class = table("gc", "Cn")?;
                class.negate();
                Ok(class)
            }
            Self::Category(name) => table("gc", name),
            Self::Script(name) => table("sc", name),
        }
    }
}

/// Whether two names are the same to the newer versions of Go.
fn same_name(a: &str, b: &str) -> bool {
    letters(a).eq(letters(b))
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .map(|c| c.to_ascii_lowercase())
}

/// The engine's tables can only be reached through its own syntax.
fn table(property: &str, value: &str) -> Result<ClassUnicode, Refusal> {
    let hir = Parser::new()
        .parse(&format!("\\p{{{property}={value}}}"))
        .map_err(|_| Refusal::Class)?;
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => Ok(class.clone()),
        // The engine makes this of a class of one character.
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0)
            .ok()
            .and_then(|text| text.chars().next())
            .map(|only| range(only, only))
            .ok_or(Refusal::Class),
        _ => Err(Refusal::Class),
    }
}

fn range(low: char, high: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(low, high)])
}

/// Each general category's short name, and its others.
const CATEGORIES: &[(&str, &str)] = &[
    ("C", "Other"),
    ("Cc", "Control cntrl"),
    ("Cf", "Format"),
    ("Cn", "Unassigned"),
    ("Co", "Private_Use"),
    ("L", "Letter"),
    ("LC", "Cased_Letter"),
    ("Ll", "Lowercase_Letter"),
    ("Lm", "Modifier_Letter"),
    ("Lo", "Other_Letter"),
    ("Lt", "Titlecase_Letter"),
    ("Lu", "Uppercase_Letter"),
    ("M", "Mark Combining_Mark"),
    ("Mc", "Spacing_Mark"),
    ("Me", "Enclosing_Mark"),
    ("Mn", "Nonspacing_Mark"),
    ("N", "Number"),
    ("Nd", "Decimal_Number digit"),
    ("Nl", "Letter_Number"),
    ("No", "Other_Number"),
    ("P", "Punctuation punct"),
    ("Pc", "Connector_Punctuation"),
    ("Pd", "Dash_Punctuation"),
    ("Pe", "Close_Punctuation"),
    ("Pf", "Final_Punctuation"),
    ("Pi", "Initial_Punctuation"),
    ("Po", "Other_Punctuation"),
    ("Ps", "Open_Punctuation"),
    ("S", "Symbol"),
    ("Sc", "Currency_Symbol"),
    ("Sk", "Modifier_Symbol"),
    ("Sm", "Math_Symbol"),
    ("So", "Other_Symbol"),
    ("Z", "Separator"),
    ("Zl", "Line_Separator"),
    ("Zp", "Paragraph_Separator"),
    ("Zs", "Space_Separator"),
];

const SCRIPTS: &str = "\
    Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki \
    Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee \
    Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan \
    Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati \
    Gunjala_Gondi Gurmukhi Gurung_Khema Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic \
    Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi \
    Khitan_Small_Script Khmer Khojki Khudawadi Kirat_Rai Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian \
    Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui \
    Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari \
    New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian Old_Italic \
    Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya \
    Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada \
    Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog \
    Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri \
    Toto Tulu_Tigalari Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_table() {
        for (short, names) in CATEGORIES {
            for name in names.split(' ').chain([*short]) {
                assert_eq!(
                    Property::named(name),
                    Some(Property::Category(short)),
                    "{name}"
                );
            }
            assert!(!table("gc", short).unwrap().ranges().is_empty(), "{short}");
        }
        let mut scripts = 0;
        for name in SCRIPTS.split_ascii_whitespace() {
            assert_eq!(Property::named(name), Some(Property::Script(name)));
            assert!(!table("sc", name).unwrap().ranges().is_empty(), "{name}");
            scripts += 1;
        }
        assert_eq!(scripts, 170);
    }

    #[test]
    fn names_are_read_as_in_go() {
        for (name, property) in [
            ("Greek", Some(Property::Script("Greek"))),
            ("greek", Some(Property::Script("Greek"))),
            ("old italic", Some(Property::Script("Old_Italic"))),
            ("lu", Some(Property::Category("Lu"))),
            ("uppercase-letter", Some(Property::Category("Lu"))),
            ("ANY", Some(Property::Any)),
            ("ascii", Some(Property::Ascii)),
            ("Cs", Some(Property::Surrogates)),
            // What the engine knows besides: other properties, short names of scripts, and prefixes.
            ("Alphabetic", None),
            ("Grek", None),
            ("sc=Greek", None),
            ("IsGreek", None),
            ("", None),
        ] {
            assert_eq!(Property::named(name), property, "{name}");
        }
    }
}
