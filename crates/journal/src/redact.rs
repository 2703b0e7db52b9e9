//! Arguments as they are written: without the values that may be secrets, and bounded.

/// Most words of one command that are kept.
const MOST_WORDS: usize = 256;
/// Most characters of one word that are kept.
const MOST_LETTERS: usize = 1024;
/// Most bytes of all words.
const MOST_BYTES: usize = 16 * 1024;
/// What stands for a value.
const MASK: &str = "***";

/// Flags whose value is `NAME=value`: the name stays.
const ASSIGNMENTS: [&str; 5] = ["--env", "--build-arg", "--env-merge", "--log-opt", "--opt"];
/// Flags whose value is a secret as a whole.
const SECRETS: [&str; 4] = ["--password", "--creds", "--passphrase", "--token"];
/// Parts of names whose values are not written wherever they stand.
const TELLING: [&str; 9] =
    ["passw", "secret", "token", "credential", "apikey", "api_key", "api-key", "private", "auth"];

/// The words of a command line, without secrets: values of `-e NAME=value` and the like, of `--password` and its kin, of
/// anything assigned to a name that tells it, and the user part of a URL.
///
/// What stands in a container's own command without such a mark stays: nobody can know.
#[must_use]
pub fn redact(words: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut bytes = 0;
    let mut next = Next::Plain;
    for (at, word) in words.iter().enumerate() {
        let (text, after) = one(word, next);
        next = after;
        let text: String = text.chars().take(MOST_LETTERS).collect();
        bytes += text.len();
        if at >= MOST_WORDS || bytes > MOST_BYTES {
            kept.push(format!("[{} more]", words.len() - at));
            break;
        }
        kept.push(text);
    }
    kept
}

/// What the word after a flag is.
#[derive(Clone, Copy)]
enum Next {
    Plain,
    Assignment,
    Secret,
    Reference,
}

fn one(word: &str, kind: Next) -> (String, Next) {
    match kind {
        Next::Assignment => return (assignment(word), Next::Plain),
        Next::Secret => return (MASK.to_owned(), Next::Plain),
        Next::Reference => return (reference(word), Next::Plain),
        Next::Plain => {}
    }
    if let Some((flag, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
        let value = if ASSIGNMENTS.contains(&flag) {
            assignment(value)
        } else if SECRETS.contains(&flag) {
            MASK.to_owned()
        } else if flag == "--secret" {
            reference(value)
        } else {
            return (told(word), Next::Plain);
        };
        return (format!("{flag}={value}"), Next::Plain);
    }
    if ASSIGNMENTS.contains(&word) {
        return (word.to_owned(), Next::Assignment);
    }
    if SECRETS.contains(&word) {
        return (word.to_owned(), Next::Secret);
    }
    if word == "--secret" {
        return (word.to_owned(), Next::Reference);
    }
    // `-e NAME=value`, `-ite NAME=value`, `-eNAME=value`, `-iteNAME=value`.
    if word.starts_with('-') && !word.starts_with("--") && word.contains('e') {
        if word.ends_with('e') && !word.contains('=') {
            return (word.to_owned(), Next::Assignment);
        }
        return (assignment(word), Next::Plain);
    }
    (told(word), Next::Plain)
}

fn assignment(text: &str) -> String {
    match text.split_once('=') {
        Some((name, _)) => format!("{name}={MASK}"),
        None => told(text),
    }
}

/// A secret is named by its first part; what follows are options.
fn reference(text: &str) -> String {
    match text.split_once(',') {
        Some((name, _)) => format!("{name},{MASK}"),
        None => text.to_owned(),
    }
}

fn told(word: &str) -> String {
    if let Some((name, _)) = word.split_once('=') {
        let lower = name.to_ascii_lowercase();
        if TELLING.iter().any(|part| lower.contains(part)) {
            return format!("{name}={MASK}");
        }
    }
    let Some(start) = word.find("://").map(|at| at + 3) else { return word.to_owned() };
    let end = word[start..].find('/').map_or(word.len(), |at| start + at);
    match word[start..end].rfind('@') {
        Some(at) => format!("{}{MASK}{}", &word[..start], &word[start + at..]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_written() {
        for (line, expected) in [
            ("run -e A=s3 img", "run -e A=*** img"),
            ("run -eA=s3 img", "run -eA=*** img"),
            ("run -ite A=s3 img", "run -ite A=*** img"),
            ("run -iteA=s3 img", "run -iteA=*** img"),
            ("run -e A img", "run -e A img"),
            ("run --env A=s3=s4 img", "run --env A=*** img"),
            ("run --env=A=s3 img", "run --env=A=*** img"),
            ("run --env-file /a img", "run --env-file /a img"),
            ("login --password s3 host", "login --password *** host"),
            ("login --password=s3 host", "login --password=*** host"),
            ("pull --creds u:s3 img", "pull --creds *** img"),
            ("build --build-arg A=s3 .", "build --build-arg A=*** ."),
            ("run --secret db,type=env,target=s3 img", "run --secret db,*** img"),
            ("run --secret=db img", "run --secret=db img"),
            ("run --log-opt k=s3 img", "run --log-opt k=*** img"),
            ("run img env DB_PASSWORD=s3 a", "run img env DB_PASSWORD=*** a"),
            ("run --label my.token=s3 img", "run --label my.token=*** img"),
            ("import https://u:s3@h/x a", "import https://***@h/x a"),
            ("import https://h/x@1 a", "import https://h/x@1 a"),
            ("rm -f --name=web a=b", "rm -f --name=web a=b"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let text = redact(&words).join(" ");
            assert_eq!(text, expected);
            assert!(!text.contains("s3"), "{text}");
        }
    }

    #[test]
    fn arguments_are_bounded() {
        let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let kept = redact(&many);
        assert_eq!(kept.len(), MOST_WORDS + 1);
        assert_eq!(kept.last().unwrap(), "[744 more]");
        assert_eq!(redact(&["ä".repeat(5000)])[0].chars().count(), MOST_LETTERS);
        let long = vec!["x".repeat(1024); 100];
        assert!(redact(&long).iter().map(String::len).sum::<usize>() <= MOST_BYTES + 64);
    }
}
