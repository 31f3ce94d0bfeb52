package command

import (
	"context"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/spf13/cobra"
)

// poll is how often a command that waits asks again.
const poll = 250 * time.Millisecond

func (w World) functions() *cobra.Command {
	var site string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "functions",
		Short: "List the functions of a site's published deploy",
		Args:  arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			list, err := control.Functions(ctx, site)
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(append([]api.Function{}, list...))
			}
			view.Functions(w.Stdout, view.StyleOf(w.Stdout), list, time.Now())
			return nil
		}),
	}
	siteFlag(cmd, &site)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (w World) workers() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "workers",
		Short: "List the workers that are alive",
		Long: `List the workers that are alive: how many queued invocations each takes at once
(CONCURRENCY), and how many of its processes run an attempt, wait with a function
loaded, and may exist (PROCESSES). One that drains takes nothing new.`,
		Args: arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			list, err := control.Workers(ctx)
			switch {
			case err != nil:
				return err
			case asJSON:
				return w.printJSON(append([]api.Worker{}, list...))
			case len(list) == 0:
				fmt.Fprintln(w.Stderr, "there are no workers: nothing runs until one is started with the same NIGHTSHIFT_REDIS_URL")
				return nil
			}
			view.Workers(w.Stdout, view.StyleOf(w.Stdout), list, time.Now())
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (w World) cancel() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "End an invocation, whether it waits or runs",
		Args:  arguments("the ID of an invocation"),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			inv, err := control.Cancel(ctx, args[0])
			switch {
			case err != nil:
				return err
			case asJSON:
				return w.printJSON(inv)
			case inv.State == invocation.Cancelled:
				fmt.Fprintf(w.Stdout, "%s is cancelled\n", inv.ID)
			default:
				fmt.Fprintf(w.Stdout, "%s is being stopped by its worker\n", inv.ID)
			}
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
