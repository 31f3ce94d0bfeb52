package command

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/spf13/cobra"
)

func (w World) schedules() *cobra.Command {
	var site string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "schedules",
		Short: "List the schedules of a site; run, pause and backfill them",
		Args:  arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			list, err := control.Schedules(ctx, site)
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(list)
			}
			if len(list) == 0 {
				fmt.Fprintf(w.Stderr, "site %s has no schedules\n", site)
				return nil
			}
			view.ScheduleList(w.Stdout, view.StyleOf(w.Stdout), list, time.Now())
			return nil
		}),
	}
	cmd.PersistentFlags().StringVar(&site, "site", defaultSite, "`name` of the site")
	jsonFlag(cmd, &asJSON)
	cmd.AddCommand(w.trigger(&site), w.pauseSchedule(&site), w.resumeSchedule(&site), w.backfill(&site), w.ledger(&site))
	return cmd
}

const scheduledName = "the NAME of a scheduled function"

func (w World) trigger(site *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "trigger NAME",
		Short: "Run a scheduled function now, beside its schedule",
		Long: `Run a scheduled function now, beside its schedule, also while that is paused.
Prints the ID of the invocation.`,
		Args: arguments(scheduledName),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			made, err := control.Trigger(ctx, *site, args[0], rand.Text())
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(made)
			}
			fmt.Fprintln(w.Stdout, made.ID)
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (w World) pauseSchedule(site *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pause NAME",
		Short: "Let a schedule skip its ticks until it is resumed",
		Long: `Let a schedule skip its ticks until it is resumed, whatever is deployed meanwhile.
They are not caught up; backfill runs those that are wanted.`,
		Args: arguments(scheduledName),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			if err := control.PauseSchedule(ctx, *site, args[0]); err != nil {
				return err
			}
			if asJSON {
				return w.printSchedule(ctx, control, *site, args[0])
			}
			fmt.Fprintf(w.Stdout, "%s is paused; nightshift schedules resume %s%s ends that\n", args[0], args[0], onSite(*site))
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (w World) resumeSchedule(site *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "resume NAME",
		Short: "End the pause of a schedule",
		Args:  arguments(scheduledName),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			if err := control.ResumeSchedule(ctx, *site, args[0]); err != nil {
				return err
			}
			if asJSON {
				return w.printSchedule(ctx, control, *site, args[0])
			}
			fmt.Fprintf(w.Stdout, "%s fires its next tick\n", args[0])
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// printSchedule prints the document of one schedule.
func (w World) printSchedule(ctx context.Context, control *client.Client, site, name string) error {
	list, err := control.Schedules(ctx, site)
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.Function == name {
			return w.printJSON(l)
		}
	}
	return fault.New(fault.NotFound, "%s has no schedule any more: another deploy was published", name)
}

func (w World) backfill(site *string) *cobra.Command {
	var from, to, key string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backfill NAME --from TIME [--to TIME]",
		Short: "Run a scheduled function once for each tick of a span, oldest first",
		Long: `Run a scheduled function once for each tick of a span that is over, oldest first.
A tick that was backfilled in the last 24 hours is not run again, unless --key
is another one.

  nightshift schedules backfill nightly --from 168h --to 24h`,
		Args: arguments(scheduledName),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			start, err := instantFlag("from", from)
			if err != nil {
				return err
			}
			if start == nil {
				return fault.New(fault.Invalid, "nightshift schedules backfill needs --from; see nightshift schedules backfill --help")
			}
			end, err := instantFlag("to", cmp.Or(to, "1s")) // the server's clock may be behind
			if err != nil {
				return err
			}
			out, err := control.Backfill(ctx, *site, args[0], api.Backfill{From: *start, To: *end, Limit: limit}, key)
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(out)
			}
			for _, m := range out.Invocations {
				existed := ""
				if m.Existed {
					existed = "  was made before"
				}
				fmt.Fprintf(w.Stdout, "%s  %s%s\n", m.Tick.UTC().Format(time.RFC3339), m.ID, existed)
			}
			if out.NextFrom != nil {
				fmt.Fprintf(w.Stderr, "there are more: go on with --from %s\n", out.NextFrom.UTC().Format(time.RFC3339))
			}
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the first tick is then or later: an `instant` like 2030-01-31T08:00:00Z, or 2h for two hours ago")
	flags.StringVar(&to, "to", "", "the last tick is before: an `instant`, or 2h for two hours ago (default now)")
	flags.IntVar(&limit, "limit", 1000, "how many at most, 1 to 1000")
	flags.StringVar(&key, "key", "", "any `text`; a tick is run once for each")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (w World) ledger(site *string) *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ledger NAME",
		Short: "List what became of the ticks of a schedule, newest first",
		Long: `List what became of the ticks of a schedule, newest first: fired, caught up,
skipped (and why) or suppressed, how late, and the ID of the invocation.`,
		Args: arguments(scheduledName),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			page, err := control.Ledger(ctx, *site, args[0], "", limit)
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(page)
			}
			if len(page.Ticks) == 0 {
				fmt.Fprintf(w.Stderr, "%s has had no tick yet\n", args[0])
				return nil
			}
			view.Ticks(w.Stdout, view.StyleOf(w.Stdout), page.Ticks)
			return nil
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most, 1 to 200")
	jsonFlag(cmd, &asJSON)
	return cmd
}
