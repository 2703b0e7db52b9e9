//! The capability sets of a process, from names to masks.

use oci::runtime::capability_bit;

use super::step::CapabilitySets;

/// The sets of a process. Names that nobody knows are left out and returned: runtime-spec `config.md`
/// asks for a warning there, not an error.
pub fn sets(capabilities: &oci::runtime::Capabilities) -> (CapabilitySets, Vec<String>) {
    let mut unknown = Vec::new();
    let mut mask = |names: &[String]| {
        names.iter().fold(0, |mask, name| match capability_bit(name) {
            Some(bit) => mask | bit,
            None => {
                if !unknown.contains(name) {
                    unknown.push(name.clone());
                }
                mask
            }
        })
    };
    let sets = CapabilitySets {
        bounding: mask(&capabilities.bounding),
        effective: mask(&capabilities.effective),
        permitted: mask(&capabilities.permitted),
        inheritable: mask(&capabilities.inheritable),
        ambient: mask(&capabilities.ambient),
    };
    (sets, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_reported_once() {
        let names = vec!["CAP_KILL".to_owned(), "CAP_MOON".to_owned()];
        let capabilities =
            oci::runtime::Capabilities { bounding: names.clone(), permitted: names, ..Default::default() };
        let (sets, unknown) = sets(&capabilities);
        assert_eq!((sets.bounding, sets.permitted, sets.ambient), (1 << 5, 1 << 5, 0));
        assert_eq!(unknown, ["CAP_MOON"]);
    }
}
