//! The configuration file of the package, and its manual page: both from the reference that the program carries.

use std::error::Error;

use roff::{Roff, bold, italic, roman};
use rollcall::{Key, Shown, Standing};

/// What differs between a program and a service that is installed.
const INSTALLED: &str = "\
# Rollcall as a service. After a change: `systemctl restart rollcall`; nobody is taken for gone meanwhile.
#
# What the service needs before it starts: a certificate and its key in /etc/rollcall/tls, owned by the user rollcall, and
# the public key that tokens are verified with. To try it out, as root:
#     rollcall keygen --tls --host NAME --out /etc/rollcall/tls
#     rollcall keygen --out /etc/rollcall
#     systemctl restart rollcall
# A secret that is only read at the start can stay root's: /etc/rollcall/secrets/NAME (mode 0600) is what
# ${CREDENTIALS_DIRECTORY}/secret_NAME stands for here.
# For port 443, and so that who connects during a restart waits instead of being refused:
#     systemctl enable rollcall.socket
#     systemctl restart rollcall
#
";

/// The line that the package turns on: its unit makes the directory and the group.
const ADMIN_SOCKET: &str = "#socket = \"/run/rollcall/admin.sock\"";

/// `/etc/rollcall/rollcall.toml`.
pub(crate) fn file() -> Result<String, Box<dyn Error>> {
    let reference = rollcall::reference();
    let (before, after) = reference
        .split_once(ADMIN_SOCKET)
        .ok_or("the reference has no admin socket to turn on")?;
    let on = ADMIN_SOCKET.trim_start_matches('#');
    Ok(format!("{INSTALLED}{before}{on} {after}"))
}

/// rollcall.toml(5).
pub(crate) fn page() -> String {
    let mut page = Roff::new();
    page.control(
        "TH",
        [
            "rollcall.toml",
            "5",
            "",
            concat!("rollcall ", env!("CARGO_PKG_VERSION")),
            "Rollcall",
        ],
    );
    heading(&mut page, "NAME");
    page.text([roman(
        "rollcall.toml - configuration of the presence server rollcall",
    )]);
    heading(&mut page, "SYNOPSIS");
    page.text([italic("/etc/rollcall/rollcall.toml")]);
    heading(&mut page, "DESCRIPTION");
    let reference = rollcall::reference();
    let about = reference.lines().take_while(|line| !line.is_empty());
    for line in about {
        match line.trim_start_matches('#').trim() {
            "" => page.control("PP", []),
            text => page.text([roman(text)]),
        };
    }
    page.control("PP", []);
    page.text([roman(
        "The file is TOML. What is wrong with it is said all at once, each with its place and its mend, by",
    )]);
    page.text([bold("rollcall check"), roman(",")]);
    page.text([roman("and the server does not start with it.")]);
    heading(&mut page, "KEYS");
    entries(&mut page, &rollcall::keys(), "");
    heading(&mut page, "SEE ALSO");
    page.text([
        bold("rollcall"),
        roman("(1), "),
        bold("systemd.exec"),
        roman("(5)"),
    ]);
    page.render()
}

fn heading(page: &mut Roff, text: &str) {
    page.control("SH", [text]);
}

/// The keys of one table, and those of the tables within it.
fn entries(page: &mut Roff, keys: &[Key], table: &str) {
    for Key {
        name,
        meaning,
        shown,
    } in keys
    {
        let text = sentence(meaning);
        let within = format!("{table}{name}.");
        match shown {
            Shown::Value(toml, standing) => {
                page.control("TP", []);
                page.text([bold(format!("{name} = {toml}"))]);
                let required = match standing {
                    Standing::Required => "Required. ",
                    Standing::Default | Standing::Example | Standing::Usual => "",
                };
                page.text([roman(format!("{required}{text}"))]);
            }
            Shown::Table(keys) => {
                page.control("SS", [format!("[{table}{name}]").as_str()]);
                page.text([roman(text)]);
                entries(page, keys, &within);
            }
            Shown::Tables(keys, _) => {
                page.control("SS", [format!("[[{table}{name}]]").as_str()]);
                page.text([roman(text)]);
                entries(page, keys, &within);
            }
        }
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        None => String::new(),
    }
}
