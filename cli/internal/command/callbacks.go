package command

import (
	"context"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/spf13/cobra"
)

// callbackPage is how many dead callbacks are asked for at once: as many as the
// control plane lists.
const callbackPage = 200

func (w World) callbacks() *cobra.Command {
	var site string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "callbacks",
		Short: "List the callbacks of a site that were given up, or send them again",
		Long: `List the callbacks of a site that were given up, newest first: their receivers
failed seven times, or answered that they want none. retry sends them again.`,
		Args: arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			all := api.DeadCallbackList{Callbacks: []api.DeadCallback{}}
			for {
				page, err := control.DeadCallbacks(ctx, site, all.NextCursor, callbackPage)
				if err != nil {
					return err
				}
				all.Callbacks = append(all.Callbacks, page.Callbacks...)
				if all.NextCursor = page.NextCursor; all.NextCursor == "" {
					break
				}
			}
			if asJSON {
				return w.printJSON(all)
			}
			if len(all.Callbacks) == 0 {
				fmt.Fprintf(w.Stderr, "site %s has no dead callbacks\n", site)
				return nil
			}
			view.DeadCallbacks(w.Stdout, view.StyleOf(w.Stdout), all.Callbacks, time.Now())
			return nil
		}),
	}
	siteFlag(cmd, &site)
	jsonFlag(cmd, &asJSON)
	cmd.AddCommand(w.retryCallbacks())
	return cmd
}

func (w World) retryCallbacks() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "retry ID...",
		Short: "Send callbacks again that were given up, by the IDs of their invocations",
		Args:  atLeast("the ID of an invocation"),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			due := []api.Invocation{}
			for i, id := range args {
				inv, err := control.RetryCallback(ctx, id)
				if err != nil {
					return behind(err, i, len(args), "made due")
				}
				due = append(due, inv)
				if !asJSON {
					fmt.Fprintf(w.Stdout, "the callback of %s is due\n", id)
				}
			}
			if asJSON {
				return w.printJSON(due)
			}
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
