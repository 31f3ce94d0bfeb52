package command

import (
	"context"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/spf13/cobra"
)

func (w World) callbacks() *cobra.Command {
	var site string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "callbacks",
		Short: "List the callbacks of a site that were given up, and make them again",
		Args:  arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			list, err := control.DeadCallbacks(ctx, site, "", 200)
			if err != nil {
				return err
			}
			if asJSON {
				return w.printJSON(list)
			}
			if len(list.Callbacks) == 0 {
				fmt.Fprintf(w.Stderr, "site %s has no dead callbacks\n", site)
				return nil
			}
			view.DeadCallbacks(w.Stdout, view.StyleOf(w.Stdout), list.Callbacks, time.Now())
			return nil
		}),
	}
	siteFlag(cmd, &site)
	jsonFlag(cmd, &asJSON)
	cmd.AddCommand(&cobra.Command{
		Use:   "retry ID...",
		Short: "Make dead callbacks again, by the IDs of their invocations",
		Args:  atLeast("the ID of an invocation"),
		RunE: w.online(func(ctx context.Context, control *client.Client, args []string) error {
			for i, id := range args {
				if _, err := control.RetryCallback(ctx, id); err != nil {
					return behind(err, i, len(args), "made due")
				}
				fmt.Fprintf(w.Stdout, "the callback of %s is due\n", id)
			}
			return nil
		}),
	})
	return cmd
}
