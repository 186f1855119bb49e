use std::time::Duration;

use crate::{Error, Result, Service};

const POLL: Duration = Duration::from_millis(20);

/// Waits until `probe` holds, the process has ended, or `deadline` has passed.
pub(crate) async fn await_ready<P>(
    service: &mut Service,
    deadline: Duration,
    probe: P,
) -> Result<()>
where
    P: AsyncFn() -> bool,
{
    let name = service.spec().name.clone();
    let polling = async {
        while !probe().await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        () = polling => Ok(()),
        status = service.wait() => {
            let status = status.map_err(Error::io(format!("wait for {name}")))?;
            Err(Error::Exited { name, status, log: service.log_tail() })
        }
        () = tokio::time::sleep(deadline) => {
            Err(Error::NotReady { name, waited: deadline, log: service.log_tail() })
        }
    }
}
