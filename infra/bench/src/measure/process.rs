//! What a process has used, from `/proc`.

use std::io;

/// What a process has used until now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU seconds, user and system, all threads, and of its children that have ended: Redis
    /// rewrites its log in one.
    pub cpu_s: f64,
    /// Resident set, bytes.
    pub rss_bytes: u64,
    /// Largest resident set so far, bytes.
    pub rss_max_bytes: u64,
}

impl Usage {
    /// That of process `pid`.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        Self::read(&pid.to_string())
    }

    /// That of this process.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn of_self() -> io::Result<Self> {
        Self::read("self")
    }

    fn read(process: &str) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        Self::parse(&stat, &status).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "/proc is not as proc(5) says")
        })
    }

    /// # Source
    /// proc(5): fields 14 to 17 of `stat` are user and system time in clock ticks, its own and
    /// that of children waited for; the second field, the name, may hold blanks and parentheses.
    fn parse(stat: &str, status: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(") ")?;
        let times: Vec<&str> = fields.split(' ').skip(11).take(4).collect();
        let times: [&str; 4] = times.try_into().ok()?;
        let mut ticks = 0;
        for time in times {
            ticks += time.parse::<u64>().ok()?;
        }
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
        let usage = Usage::parse(stat, status).unwrap();
        assert!((usage.cpu_s - seconds(330)).abs() < 1e-9);
        assert_eq!((usage.rss_bytes, usage.rss_max_bytes), (1 << 20, 2 << 20));
        assert!(Usage::parse("", "").is_none());
    }

    #[test]
    fn this_process_has_used_memory() {
        assert!(Usage::of_self().unwrap().rss_bytes > 0);
    }
}
