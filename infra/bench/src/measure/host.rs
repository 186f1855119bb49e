//! What the whole machine did, from `/proc/stat`.

use std::io;

use super::process::seconds;

/// CPU seconds of all cores since the machine was started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HostCpu {
    /// Doing something for someone.
    pub busy_s: f64,
    /// Nothing to do.
    pub idle_s: f64,
    /// Nothing to do until a disk answers.
    pub iowait_s: f64,
    /// Taken by the hypervisor for others.
    pub steal_s: f64,
}

impl HostCpu {
    /// Reads it.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn read() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/stat")?;
        Self::parse(&text).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "/proc/stat is not as proc(5) says",
            )
        })
    }

    /// What was done since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            busy_s: self.busy_s - earlier.busy_s,
            idle_s: self.idle_s - earlier.idle_s,
            iowait_s: self.iowait_s - earlier.iowait_s,
            steal_s: self.steal_s - earlier.steal_s,
        }
    }

    /// `part` as a share of all, in percent.
    #[must_use]
    pub fn percent(&self, part: f64) -> f64 {
        let all = self.busy_s + self.idle_s + self.iowait_s + self.steal_s;
        if all > 0.0 { 100.0 * part / all } else { 0.0 }
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks[..] else {
            return None;
        };
        Some(Self {
            busy_s: seconds(user + nice + system + irq + softirq),
            idle_s: seconds(idle),
            iowait_s: seconds(iowait),
            steal_s: seconds(steal),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_cores_together() {
        let before = HostCpu::parse("cpu  100 0 100 700 50 0 0 50 0 0\ncpu0 1\n").unwrap();
        let after = HostCpu::parse("cpu  150 0 150 850 90 0 0 60 0 0\n").unwrap();
        let delta = after.since(&before);
        assert!((delta.percent(delta.busy_s) - 100.0 / 3.0).abs() < 1e-6);
        assert!((delta.percent(delta.steal_s) - 10.0 / 3.0).abs() < 1e-6);
        assert!(HostCpu::parse("nothing").is_none());
    }
}
