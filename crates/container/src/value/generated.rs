//! Names for containers that were given none: `adjective_surname`, as docker makes them.

use super::name::Name;

/// How a voyage may go.
const ADJECTIVES: [&str; 96] = [
    "able", "agile", "amber", "ample", "apt", "azure", "balmy", "bold", "brave", "breezy", "bright", "brisk",
    "calm", "candid", "careful", "cheery", "civil", "clear", "clever", "coastal", "cosy", "crisp", "curious",
    "daring", "dawning", "deft", "eager", "early", "earnest", "easy", "even", "fair", "fast", "fearless",
    "fine", "firm", "fleet", "fluent", "frank", "fresh", "gallant", "gentle", "glad", "gleaming", "golden",
    "grand", "handy", "happy", "hardy", "helpful", "honest", "humble", "ideal", "jolly", "keen", "kind",
    "lasting", "light", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild", "modest", "nautical",
    "neat", "nimble", "noble", "open", "patient", "placid", "plucky", "polite", "prompt", "proud", "quick",
    "quiet", "ready", "rested", "robust", "serene", "sharp", "silver", "smooth", "sound", "spry", "steady",
    "sunny", "swift", "tidal", "tidy", "trusty", "vivid", "warm",
];

/// People who measured, mapped, computed, or found their way.
const SURNAMES: [&str; 128] = [
    "abel",
    "agnesi",
    "airy",
    "alhazen",
    "amundsen",
    "anning",
    "apgar",
    "arago",
    "babbage",
    "banneker",
    "baret",
    "bartik",
    "bassi",
    "beaufort",
    "bell",
    "bernoulli",
    "bohr",
    "boole",
    "borg",
    "bose",
    "bowditch",
    "brahe",
    "burnell",
    "cannon",
    "carson",
    "cassini",
    "cerf",
    "chandra",
    "church",
    "clarke",
    "codd",
    "cook",
    "copernicus",
    "cori",
    "curie",
    "darwin",
    "dijkstra",
    "dirac",
    "drake",
    "easley",
    "elion",
    "engelbart",
    "erdos",
    "euler",
    "faraday",
    "fermi",
    "feynman",
    "fitzroy",
    "flamsteed",
    "franklin",
    "fresnel",
    "galileo",
    "gauss",
    "germain",
    "goodall",
    "hadley",
    "halley",
    "hamilton",
    "harrison",
    "hawking",
    "henson",
    "herschel",
    "hertz",
    "hilbert",
    "hodgkin",
    "holberton",
    "hooke",
    "hopper",
    "huygens",
    "hypatia",
    "ibsen",
    "jemison",
    "johnson",
    "kepler",
    "khayyam",
    "knuth",
    "lamarr",
    "lamport",
    "laplace",
    "leavitt",
    "leibniz",
    "lovelace",
    "magellan",
    "maskelyne",
    "maury",
    "maxwell",
    "mayer",
    "mcclintock",
    "meitner",
    "mendel",
    "mercator",
    "mirzakhani",
    "mitchell",
    "nansen",
    "napier",
    "nash",
    "newton",
    "nightingale",
    "noether",
    "noyce",
    "pascal",
    "pasteur",
    "perlman",
    "pike",
    "polo",
    "ptolemy",
    "ramanujan",
    "ritchie",
    "ross",
    "rubin",
    "sagan",
    "shannon",
    "sinclair",
    "slocum",
    "somerville",
    "swirles",
    "tasman",
    "tesla",
    "tharp",
    "thompson",
    "torvalds",
    "turing",
    "vaughan",
    "volta",
    "wiles",
    "wilkes",
    "wu",
    "zheng",
];

/// A name made of random bytes; from the eighth attempt on with a digit, so that thousands of containers find one.
#[must_use]
pub fn generate(random: [u8; 4], attempt: u32) -> Name {
    let adjective = ADJECTIVES[usize::from(u16::from_le_bytes([random[0], random[1]])) % ADJECTIVES.len()];
    let surname = SURNAMES[usize::from(random[2]) % SURNAMES.len()];
    let digits = match attempt {
        0..8 => String::new(),
        8..16 => (random[3] % 10).to_string(),
        _ => format!("{}{}", random[3], attempt),
    };
    Name::new(&format!("{adjective}_{surname}{digits}")).expect("the words are letters and the rest digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_plain_and_none_is_there_twice() {
        for words in [&ADJECTIVES[..], &SURNAMES[..]] {
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
            for word in words {
                assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
            }
        }
    }

    #[test]
    fn names_are_names() {
        for attempt in [0, 7, 8, 16, u32::MAX] {
            for byte in 0..=255 {
                let name = generate([byte, 3, byte, byte], attempt);
                assert!(name.as_str().contains('_'), "{name}");
            }
        }
        assert_eq!(generate([0, 0, 0, 5], 0).as_str(), "able_abel");
        assert_eq!(generate([0, 0, 0, 5], 8).as_str(), "able_abel5");
    }
}
