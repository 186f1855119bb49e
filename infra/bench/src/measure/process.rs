//! What a process has used, from `/proc`.

use std::io;

/// What a process has used until now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU seconds, user and system, all threads.
    pub cpu_s: f64,
    /// Resident set, bytes.
    pub rss_bytes: u64,
    /// Largest resident set so far, bytes.
    pub rss_max_bytes: u64,
}

/// Whether children that have ended are part of a process.
#[derive(Debug, Clone, Copy)]
enum Children {
    Counted,
    LeftOut,
}

impl Children {
    /// Fields of times that are added.
    const fn fields(self) -> usize {
        match self {
            Self::Counted => 4,
            Self::LeftOut => 2,
        }
    }
}

impl Usage {
    /// That of process `pid`, with the CPU of its children that have ended: Redis rewrites its log
    /// in one.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        Self::read(&pid.to_string(), Children::Counted)
    }

    /// That of this process alone; its children are watched by themselves.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn of_self() -> io::Result<Self> {
        Self::read("self", Children::LeftOut)
    }

    fn read(process: &str, children: Children) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        Self::parse(&stat, &status, children).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "/proc is not as proc(5) says")
        })
    }

    fn parse(stat: &str, status: &str, children: Children) -> Option<Self> {
        let ticks = ticks(stat, children)?;
        let kib = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        };
        Some(Self {
            cpu_s: seconds(ticks),
            rss_bytes: kib("VmRSS:")? * 1024,
            rss_max_bytes: kib("VmHWM:")? * 1024,
        })
    }
}

/// CPU seconds, user and system, of the threads of process `pid` that are there and whose names
/// begin with `prefix`; `None` where there is none.
///
/// # Errors
/// There is no such process.
pub fn cpu_of_threads(pid: u32, prefix: &str) -> io::Result<Option<f64>> {
    let mut all = None;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // One that has ended meanwhile is not there.
        let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else {
            continue;
        };
        let name = stat.split_once('(').map_or("", |(_, name)| name);
        if name.starts_with(prefix) {
            *all.get_or_insert(0) += ticks(&stat, Children::LeftOut).unwrap_or(0);
        }
    }
    Ok(all.map(seconds))
}

/// User and system time in a `stat`.
///
/// # Source
/// proc(5): fields 14 to 17 of `stat` are user and system time in clock ticks, its own and that of
/// children waited for; the second field, the name, may hold blanks and parentheses.
fn ticks(stat: &str, children: Children) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let mut ticks = 0;
    for _ in 0..children.fields() {
        ticks += times.next()?.parse::<u64>().ok()?;
    }
    Some(ticks)
}

/// Clock ticks as seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "52 bits of ticks are a million years"
)]
pub(super) fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_found_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 20 10 20 0";
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let usage = Usage::parse(stat, status, Children::LeftOut).unwrap();
        assert!((usage.cpu_s - seconds(300)).abs() < 1e-9);
        let family = Usage::parse(stat, status, Children::Counted).unwrap();
        assert!((family.cpu_s - seconds(330)).abs() < 1e-9);
        assert_eq!((usage.rss_bytes, usage.rss_max_bytes), (1 << 20, 2 << 20));
        assert!(Usage::parse("", "", Children::Counted).is_none());
    }

    #[test]
    fn this_process_has_used_memory() {
        assert!(Usage::of_self().unwrap().rss_bytes > 0);
        let all = cpu_of_threads(std::process::id(), "").unwrap().unwrap();
        assert!(all <= Usage::of_self().unwrap().cpu_s, "{all}");
        let none = cpu_of_threads(std::process::id(), "no such thread").unwrap();
        assert_eq!(none, None);
    }
}
