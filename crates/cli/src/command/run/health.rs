//! What `brig run` and `brig update` are told about a container's health.

use clap::Args;
use clap::builder::BoolishValueParser;
use container::value::health::{HealthFlags, HealthOptions, parse};

/// Flags of the check.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct HealthArguments {
    /// The line that tells whether the container works, or a JSON list of words, or none
    #[arg(long, value_name = "COMMAND", help_heading = "Health")]
    pub(crate) health_cmd: Option<String>,
    /// Time between two checks, 30s
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_interval: Option<String>,
    /// Time for one check, 30s
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_timeout: Option<String>,
    /// Time in which failures do not count, 0s
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_start_period: Option<String>,
    /// Time between two checks in the start period, 5s
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_start_interval: Option<String>,
    /// Failures in a row that make the container unhealthy, 3
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    pub(crate) health_retries: Option<String>,
    /// Do not do the image's health check
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Health")]
    pub(crate) no_healthcheck: bool,
    /// What is done to an unhealthy container: none, kill, restart or stop
    #[arg(long, value_name = "ACTION", help_heading = "Health")]
    pub(crate) health_on_failure: Option<String>,
    /// A check that must succeed before the other begins
    #[arg(long, value_name = "COMMAND", help_heading = "Health")]
    pub(crate) health_startup_cmd: Option<String>,
    /// Time between two startup checks, 30s
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_startup_interval: Option<String>,
    /// Time for one startup check, 30s
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_startup_timeout: Option<String>,
    /// Failures after which the container is started again, 0 for never
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    pub(crate) health_startup_retries: Option<String>,
    /// Successes in a row after which the container has started, 1
    #[arg(long, value_name = "NUMBER", help_heading = "Health")]
    pub(crate) health_startup_success: Option<String>,
}

impl HealthArguments {
    /// Checks what was given.
    pub(crate) fn parse(&self) -> container::Result<HealthOptions> {
        parse(&HealthFlags {
            command: self.health_cmd.clone(),
            interval: self.health_interval.clone(),
            timeout: self.health_timeout.clone(),
            start_period: self.health_start_period.clone(),
            start_interval: self.health_start_interval.clone(),
            retries: self.health_retries.clone(),
            none: self.no_healthcheck,
            on_failure: self.health_on_failure.clone(),
            startup_command: self.health_startup_cmd.clone(),
            startup_interval: self.health_startup_interval.clone(),
            startup_timeout: self.health_startup_timeout.clone(),
            startup_retries: self.health_startup_retries.clone(),
            startup_success: self.health_startup_success.clone(),
        })
    }
}
