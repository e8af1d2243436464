//! From when to when a certificate is valid, and what the operator should know about it.

use std::fmt;

use rustls::pki_types::CertificateDer;

const DAY: i64 = 86_400;
/// How many days before it expires a certificate is warned of: enough for a person who looks once a week.
const SOON: i64 = 30;

/// Unix time in seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// A certificate's state at a moment, with the whole days until or since its beginning or end. It changes at most once a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not valid yet, or the clock is wrong.
    NotYet {
        days: u64,
    },
    /// It is valid for at least [`SOON`] days.
    Good {
        days: u64,
    },
    EndsSoon {
        days: u64,
    },
    /// It has expired, or the clock is wrong.
    Expired {
        days: u64,
    },
}

impl Validity {
    /// `None` where the certificate cannot be read.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let validity = parsed.validity();
        Some(Self {
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// The state at `now`, Unix time in seconds.
    pub(crate) fn standing(&self, now: u64) -> Standing {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let days = |from: i64, to: i64| to.abs_diff(from) / DAY.unsigned_abs();
        if now < self.not_before {
            Standing::NotYet {
                days: days(now, self.not_before),
            }
        } else if now > self.not_after {
            Standing::Expired {
                days: days(self.not_after, now),
            }
        } else {
            let days = days(now, self.not_after);
            match days < SOON.unsigned_abs() {
                true => Standing::EndsSoon { days },
                false => Standing::Good { days },
            }
        }
    }

    /// Whole days from `now` until the end; negative once it has expired.
    pub(crate) fn days_left(&self, now: u64) -> i64 {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.not_after.saturating_sub(now).div_euclid(DAY)
    }
}

impl Standing {
    /// The name in the admin socket's JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotYet { .. } => "notYetValid",
            Self::Good { .. } => "valid",
            Self::EndsSoon { .. } => "endsSoon",
            Self::Expired { .. } => "expired",
        }
    }

    /// What the operator should do, if anything.
    pub(crate) fn advice(self) -> Option<&'static str> {
        match self {
            Self::Good { .. } => None,
            Self::EndsSoon { .. } => Some("renew it in time"),
            Self::Expired { .. } => Some(
                "clients that look at it will refuse; renew it, or set the clock if that is wrong",
            ),
            Self::NotYet { .. } => {
                Some("clients that look at it may refuse; set the clock if that is wrong")
            }
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotYet { days } => write!(f, "not valid yet, for {}", Days(days)),
            Self::Good { days } | Self::EndsSoon { days } => match days {
                0 => f.write_str("valid for less than a day"),
                1 => f.write_str("valid for 1 more day"),
                n => write!(f, "valid for {n} more days"),
            },
            Self::Expired { days } => write!(f, "expired {} ago", Days(days)),
        }
    }
}

struct Days(u64);

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("less than a day"),
            1 => f.write_str("1 day"),
            n => write!(f, "{n} days"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::pem::PemObject as _;

    use super::super::self_signed;
    use super::*;

    #[test]
    fn what_is_said_changes_once_a_day_and_at_the_ends() {
        let day = DAY.unsigned_abs();
        let (begin, end) = (1_000 * DAY, 1_100 * DAY);
        let validity = Validity {
            not_before: begin,
            not_after: end,
        };
        let (begin, end) = (begin.unsigned_abs(), end.unsigned_abs());
        for (now, said, left) in [
            (0, "not valid yet, for 1000 days", 1_100),
            (begin - day, "not valid yet, for 1 day", 101),
            (begin - 1, "not valid yet, for less than a day", 100),
            (begin, "valid for 100 more days", 100),
            (end - 30 * day, "valid for 30 more days", 30),
            (end - 30 * day + 1, "valid for 29 more days", 29),
            (end - 2 * day + 1, "valid for 1 more day", 1),
            (end - day + 1, "valid for less than a day", 0),
            (end, "valid for less than a day", 0),
            (end + 1, "expired less than a day ago", -1),
            (end + day, "expired 1 day ago", -1),
            (end + 3 * day + 5, "expired 3 days ago", -4),
        ] {
            let standing = validity.standing(now);
            assert_eq!(standing.to_string(), said);
            assert_eq!(validity.days_left(now), left, "{said}");
            let soon = !(begin..=end - 30 * day).contains(&now);
            assert_eq!(standing.advice().is_some(), soon, "{said}");
        }
    }

    #[test]
    fn a_certificate_is_read_and_what_is_none_is_not() {
        let made = self_signed(&["a.example".to_owned()], 2).unwrap();
        let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
        let validity = Validity::of(&der).unwrap();
        assert_eq!(validity.not_after - validity.not_before, 3 * DAY);
        for length in 0..der.len() {
            assert_eq!(Validity::of(&der[..length].to_vec().into()), None);
        }
    }

    proptest! {
        #[test]
        fn no_moment_is_too_far_away(not_before: i64, not_after: i64, now: u64) {
            let validity = Validity { not_before, not_after };
            let standing = validity.standing(now);
            prop_assert!(!standing.to_string().is_empty());
            if matches!(standing, Standing::Expired { .. }) {
                prop_assert!(validity.days_left(now) < 0);
            }
        }

        #[test]
        fn a_certificate_that_is_garbled_is_read_or_not(at in 0usize..400, byte: u8) {
            let made = self_signed(&["a.example".to_owned()], 2).unwrap();
            let mut der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap().to_vec();
            if let Some(there) = der.get_mut(at) {
                *there = byte;
            }
            let _ = Validity::of(&der.into());
        }
    }
}
