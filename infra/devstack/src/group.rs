//! A process in a process group of its own that cannot outlive its owner.
//!
//! # Invariant
//! Whoever holds a [`Group`] holds the only writing end of a pipe (close-on-exec, so no child
//! inherits it). The group's leader is a *guard*: a shell that reads the other end and kills its
//! own group at end of file. The kernel closes the pipe however the owner ends, SIGKILL included,
//! so the program, which joined the guard's group before it ran, dies too. `PR_SET_PDEATHSIG` would
//! need unsafe code and fires when the *thread* that spawned ends.
//!
//! The guard is not reaped before the group is killed, so the group's id cannot be given to
//! somebody else meanwhile.

use std::io;
use std::process::{ExitStatus, Stdio};

use rustix::process::{self, Pid, Signal, WaitId, WaitIdOptions};
use tokio::process::{Child, Command};

const GUARD: &str = "trap '' HUP INT TERM; read -r _; kill -KILL 0";

#[derive(Debug)]
pub(crate) struct Group {
    guard: Guard,
    program: Child,
}

impl Group {
    /// Starts `command` in a new process group, without stdin.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let guard = Guard::spawn()?;
        let program = command
            .stdin(Stdio::null())
            .process_group(guard.group.as_raw_pid())
            .spawn()?;
        Ok(Self { guard, program })
    }

    /// The program's own process id; `None` once it was waited for.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.program.id()
    }

    pub(crate) fn program(&mut self) -> &mut Child {
        &mut self.program
    }

    /// Waits for the program to end by itself.
    ///
    /// # Cancel safety
    /// Safe: a later call returns the same status.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.program.wait().await
    }

    /// Sends a signal the guard ignores (SIGTERM) to the program and its children.
    pub(crate) fn terminate(&self) {
        // It fails only when nobody is left, which is what is wanted.
        process::kill_process_group(self.guard.group, Signal::TERM).ok();
    }

    /// Sends SIGSTOP or SIGCONT to the program alone: a stopped guard could not guard.
    pub(crate) fn signal_program(&self, signal: Signal) {
        if let Some(pid) = pid_of(&self.program) {
            process::kill_process(pid, signal).ok();
        }
    }

    /// Kills the whole group and waits until the program is gone.
    pub(crate) async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.guard.kill_group();
        self.program.wait().await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.guard.kill_group();
        // A killed process ends within milliseconds; what follows a drop (a removed directory, a
        // port used again) relies on it being gone. tokio reaps it later.
        await_end(&self.program);
    }
}

#[derive(Debug)]
struct Guard {
    shell: Child,
    group: Pid,
}

impl Guard {
    fn spawn() -> io::Result<Self> {
        // The pipe's writing end lives in `shell.stdin` as long as the guard does.
        let shell = Command::new("/bin/sh")
            .args(["-c", GUARD])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let group = pid_of(&shell).ok_or_else(|| io::Error::other("the guard has no pid"))?;
        Ok(Self { shell, group })
    }

    fn kill_group(&self) {
        process::kill_process_group(self.group, Signal::KILL).ok();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kill_group();
        await_end(&self.shell);
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw)
}

/// Blocks until a killed child has ended, and leaves its status for whoever reaps it.
fn await_end(child: &Child) {
    if let Some(pid) = pid_of(child) {
        process::waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        )
        .ok();
    }
}
