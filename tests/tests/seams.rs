//! What tests can weaken is not in the program that people get.

use std::fs;
use std::path::Path;

use tests::attack;

#[test]
fn the_product_has_no_seams() {
    let contains = |program: &Path, text: &str| {
        fs::read(program).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    };
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let products = [testkit::brig().to_owned(), target.join("release/brig")];
    // The variables, and a name of a defence of each crate that has some.
    for text in [
        "BRIG_WEAKEN",
        "BRIG_PAUSE_AT",
        "BRIG_PAUSE_DIR",
        "lsm-verify",
        "engine-inheritable",
        "unpack-whiteouts",
    ] {
        assert!(contains(attack::brig_with_seams(), text), "the test shows nothing: `{text}`");
        for product in products.iter().filter(|product| product.exists()) {
            assert!(!contains(product, text), "{} has `{text}`", product.display());
        }
    }
}
