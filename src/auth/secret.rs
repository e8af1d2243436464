//! Comparing secrets.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

/// Whether two secrets are the same. The time taken tells neither where they differ nor how long they are.
pub fn same_secret(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(digest(&SHA256, a).as_ref(), digest(&SHA256, b).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::same_secret;

    #[test]
    fn only_equal_secrets_are_the_same() {
        assert!(same_secret(b"open sesame", b"open sesame"));
        assert!(!same_secret(b"open sesame", b"open sesamE"));
        assert!(!same_secret(b"open sesame", b"open"));
        assert!(same_secret(b"", b""));
    }
}
