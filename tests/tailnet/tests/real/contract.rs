//! The contract's rows, and what shows each beside the lab.
//!
//! Not for: the contract's own words, which say more.

/// One row.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    /// What must hold, in short.
    pub(crate) says: &'static str,
    /// Tests without the lab, as file and function. Each is looked for.
    pub(crate) beside: &'static [(&'static str, &'static str)],
    /// What of it the lab does not show, and why.
    pub(crate) not_here: &'static str,
}

const INTERFACE: &str = "provider-wasm/tests/provider/contract/interface.rs";
const INSTALLING: &str = "provider-wasm/tests/provider/contract/installing.rs";
const JOINING: &str = "provider-wasm/tests/provider/contract/joining.rs";
const FAILING: &str = "provider-wasm/tests/provider/contract/failing.rs";
const SECRETS: &str = "tests/whole/secrets.rs";

const fn row(
    id: &'static str,
    says: &'static str,
    beside: &'static [(&'static str, &'static str)],
    not_here: &'static str,
) -> Row {
    Row { id, says, beside, not_here }
}

/// All of them, in the contract's order.
pub(crate) const ROWS: &[Row] = &[
    row(
        "C1",
        "the provider's id is `tailscale`",
        &[("provider-wasm/src/provider.rs", "the_descriptor_is_read_and_names_a_slot_that_the_config_has")],
        "It is pure: no host takes part in it.",
    ),
    row(
        "C2",
        "a registry that refuses an empty and a duplicate id, lists in order, and names what it knows",
        &[(
            "tests/whole/guests/register.rs",
            "c2_a_registry_refuses_a_second_one_of_an_id_lists_in_order_and_names_what_it_knows",
        )],
        "No host takes part in it.",
    ),
    row(
        "C3",
        "after `ensure_installed`: client on PATH, daemon enabled and answering; a second run changes nothing",
        &[(INTERFACE, "c3_c4_a_bare_host_is_installed_and_joined_and_a_second_run_finds_nothing_to_do")],
        "",
    ),
    row(
        "C4",
        "after `ensure_joined`: in the configured tailnet with the wanted tags; a second run needs no key",
        &[(INTERFACE, "c4_a_host_that_is_right_costs_one_probe_and_no_step_and_no_key")],
        "",
    ),
    row(
        "C5",
        "`node_fqdn` is pure, and is the name that resolves",
        &[("tests/whole/cli/file.rs", "c5_a_name_costs_no_connection_and_no_key_and_a_host_that_is_not_there_is_told")],
        "",
    ),
    row(
        "C6",
        "`leave`: logged out, proved, bounded, told when half done; another tailnet only where it is named",
        &[(INTERFACE, "c6_leaving_is_proved_by_no_node_key_and_a_second_run_changes_nothing")],
        "",
    ),
    row(
        "C7",
        "`plan` says what would be done, changes nothing, in one batch",
        &[("provider-wasm/tests/provider/properties.rs", "a_plan_changes_nothing_and_its_commands_are_looks")],
        "",
    ),
    row(
        "I1",
        "Debian, Ubuntu and what the install script knows; everything else is named as unsupported",
        &[(INSTALLING, "i1_only_systems_that_the_install_script_knows_are_supported")],
        "",
    ),
    row(
        "I2",
        "installed and new enough: no change",
        &[(INSTALLING, "i2_i3_a_release_that_will_do_is_left_and_one_that_will_not_is_not_upgraded")],
        "",
    ),
    row(
        "I3",
        "installed and too old: both versions are named, nothing is upgraded",
        &[(INSTALLING, "i3_releases_that_work_and_are_not_recommended_are_noted")],
        "",
    ),
    row(
        "I4",
        "not installed: the official script; each way in which it fails is told apart",
        &[(INSTALLING, "i4_every_fault_of_an_install_is_told_apart")],
        "",
    ),
    row(
        "I5",
        "a daemon that is stopped, disabled or masked is started and enabled, or told as that",
        &[(INSTALLING, "i5_a_daemon_that_is_stopped_disabled_failed_or_masked_is_started_and_enabled")],
        "",
    ),
    row(
        "I6",
        "`method: skip` installs nothing; a join then says what is missing",
        &[(INSTALLING, "i6_skip_installs_nothing_and_a_join_says_that_it_is_missing")],
        "",
    ),
    row(
        "J1",
        "the tailnet is proved by its suffix; what cannot be proved is said and not guessed",
        &[(JOINING, "j1_after_a_restart_without_control_the_tailnet_cannot_be_proved")],
        "",
    ),
    row(
        "J2",
        "a node of another tailnet or server is never moved, stopped or not",
        &[(JOINING, "j1_j2_another_tailnet_or_control_server_is_a_mismatch_and_nothing_is_changed")],
        "",
    ),
    row(
        "J3",
        "every wanted tag is there; extra ones are a note",
        &[(JOINING, "j3_every_wanted_tag_must_be_there_and_extra_ones_are_a_note")],
        "",
    ),
    row(
        "J4",
        "other tags: only by consent, never over the tailnet's own session, verified, undone when it failed",
        &[
            (JOINING, "j4_after_a_failed_re_authentication_the_old_identity_is_back"),
            (JOINING, "j4_a_session_over_the_tailnet_is_not_cut"),
        ],
        "",
    ),
    row(
        "J5",
        "no key for a healthy node; one that is missing is named before anything is done",
        &[("provider-wasm/tests/provider/properties.rs", "a_member_that_is_right_is_never_sent_a_key")],
        "",
    ),
    row(
        "J6",
        "each reason of a failed join is its own failure, and nothing joins later",
        &[(FAILING, "j6_every_reason_of_a_failed_join_is_its_own_failure_and_nothing_goes_on_afterwards")],
        "",
    ),
    row(
        "J7",
        "the name that control assigned is the one that counts",
        &[(JOINING, "j7_another_name_is_a_conflict_with_both_names")],
        "",
    ),
    row(
        "J8",
        "offline but right is a success with a note; settling states are waited for",
        &[(FAILING, "j8_offline_is_a_note_and_settling_states_are_waited_for")],
        "",
    ),
    row("J9", "every `tailscale up` is bounded", &[(JOINING, "j9_every_up_is_bounded")], ""),
    row(
        "J10",
        "stopped: brought up without key or flag; expired: joined again",
        &[
            (JOINING, "j10_a_stopped_member_is_brought_up_without_a_key_and_without_a_flag"),
            (JOINING, "j10_a_key_that_expired_while_the_member_was_stopped_is_told_and_the_next_run_joins"),
        ],
        "",
    ),
    row(
        "J11",
        "preferences set by hand survive join, re-join and resume",
        &[(JOINING, "j11_preferences_that_an_operator_set_survive_a_join")],
        "",
    ),
    row(
        "J12",
        "an OAuth client's secret works as a key",
        &[
            (JOINING, "j12_an_oauth_secret_needs_tags_and_makes_lasting_members_that_need_no_approval"),
            (JOINING, "j12_what_an_operator_has_put_behind_an_oauth_secret_stays_and_the_rest_is_added"),
        ],
        "",
    ),
    row(
        "J13",
        "Headscale: tags come from the key and change on the server only",
        &[
            (JOINING, "j13_on_headscale_tags_come_from_the_key_and_change_on_the_server"),
            (JOINING, "j13_headscale_refuses_keys_in_its_own_words"),
        ],
        "Headscale is not to be had as a Go module, so the lab has none; the model was held to recordings of the real one.",
    ),
    row(
        "K1",
        "the key is in no file, argument, environment, log or error, on either machine",
        &[(SECRETS, "k1_the_key_is_in_no_argument_list_environment_file_or_output_of_either_end_while_a_host_joins")],
        "",
    ),
    row(
        "K2",
        "the guest never has the key; what comes back is scrubbed of it",
        &[(SECRETS, "k2_the_guest_never_has_the_key_in_its_memory")],
        "The guest's memory is the runtime's, whatever the host is.",
    ),
    row(
        "D1",
        "the same inputs give the same plan, byte for byte, in host order",
        &[("tests/whole/journey.rs", "d1_the_same_fleet_gives_the_same_plan_byte_for_byte_in_the_order_of_the_file")],
        "",
    ),
];
