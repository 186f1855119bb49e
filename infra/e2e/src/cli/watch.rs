use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{print, runtime};
use crate::{heavy, watch};

#[derive(Debug, Args)]
pub(super) struct Watch {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Runs every query of the dashboards against Prometheus, over a system at work
    Panels,
    /// Has each alert fire by its real cause and be over, with durations divided by 30
    Alerts {
        /// Only those that tell of the same as this one (repeat it)
        #[arg(long = "alert", value_name = "NAME")]
        only: Vec<String>,
    },
    /// Stops mongod for two minutes, and counts what Alertmanager tells people of it
    Messages,
}

impl Watch {
    /// Does it. Fails when something is not as it should be.
    pub(super) fn run(&self) -> Result<ExitCode> {
        let seen = runtime()?.block_on(async {
            let _turn = heavy().await;
            match &self.what {
                What::Panels => watch::panels().await,
                What::Alerts { only } => watch::alerts(only).await,
                What::Messages => watch::messages().await,
            }
        })?;
        print(&format!("{seen}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
