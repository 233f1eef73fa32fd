//! Random numbers, from the kernel's generator: a seed or a clock could repeat on hosts that are
//! copies of one image. No decision reads one.

use std::fmt::Write;

use rustix::rand::GetRandomFlags;

fn bytes<const N: usize>() -> rustix::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // So few bytes come at once or not at all.
    rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty()))?;
    Ok(bytes)
}

/// So many random bytes as hexadecimal digits, two for each.
pub(crate) fn hex_digits<const N: usize>() -> rustix::io::Result<String> {
    let mut digits = String::new();
    for byte in bytes::<N>()? {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    Ok(digits)
}

/// A number from 0 to `most`.
pub(crate) fn up_to(most: u64) -> rustix::io::Result<u64> {
    let random = u64::from_le_bytes(bytes()?);
    Ok(most.checked_add(1).map_or(random, |count| random % count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same_and_each_keeps_to_its_bounds() {
        let (one, other) = (hex_digits::<16>().unwrap(), hex_digits::<16>().unwrap());
        assert_ne!(one, other);
        for digits in [one, other] {
            assert_eq!(digits.len(), 32);
            assert!(digits.bytes().all(|b| b.is_ascii_hexdigit()));
        }
        assert_eq!(up_to(0), Ok(0));
        let numbers: Vec<u64> = (0..200).map(|_| up_to(3).unwrap()).collect();
        // The chance that one of the four is missing is 4 * 0.75^200.
        assert!((0..=3).all(|n| numbers.contains(&n)), "{numbers:?}");
        assert!(numbers.iter().all(|n| *n <= 3), "{numbers:?}");
    }
}
