/// The last of each option with its values: mongod refuses one that stands twice, and which of two
/// counts is told in one place for every server.
pub(crate) fn once(args: Vec<String>) -> Vec<String> {
    let mut options: Vec<Vec<String>> = Vec::new();
    for arg in args {
        match options.last_mut() {
            Some(option) if !arg.starts_with("--") => option.push(arg),
            _ => options.push(vec![arg]),
        }
    }
    let mut kept: Vec<Vec<String>> = Vec::new();
    for option in options {
        kept.retain(|earlier| name(earlier) != name(&option));
        kept.push(option);
    }
    kept.concat()
}

/// What makes two options one; mongod's parameters are told apart by their own names.
fn name(option: &[String]) -> Vec<&str> {
    let is_parameter = option.first().is_some_and(|name| name == "--setParameter");
    let words = option.iter().take(if is_parameter { 2 } else { 1 });
    words
        .map(|word| word.split_once('=').map_or(word.as_str(), |(name, _)| name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_given_again_replaces_the_earlier_one() {
        let once = |line: &str| once(line.split(' ').map(str::to_owned).collect()).join(" ");
        let table = [
            (
                "--port 1 --syncdelay 15 --syncdelay 1",
                "--port 1 --syncdelay 1",
            ),
            (
                "--syncdelay 15 --port 1 --syncdelay=1",
                "--port 1 --syncdelay=1",
            ),
            (
                "--replicaof no one --replicaof h 1 --save ",
                "--replicaof h 1 --save ",
            ),
            (
                "--setParameter a=1 --setParameter b=1 --setParameter a=2",
                "--setParameter b=1 --setParameter a=2",
            ),
        ];
        for (given, expected) in table {
            assert_eq!(once(given), expected);
        }
    }
}
