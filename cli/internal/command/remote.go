package command

import (
	"context"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/spf13/cobra"
)

// poll is how often a command that waits asks again.
const poll = 250 * time.Millisecond

func (w World) functions() *cobra.Command {
	var site string
	cmd := &cobra.Command{
		Use:   "functions",
		Short: "List the functions of a site's published deploy",
		Args:  arguments(),
		RunE: w.online(func(ctx context.Context, api *client.Client, _ []string) error {
			list, err := api.Functions(ctx, site)
			if err != nil {
				return err
			}
			view.Functions(w.Stdout, view.StyleOf(w.Stdout), list, time.Now())
			return nil
		}),
	}
	siteFlag(cmd, &site)
	return cmd
}

func (w World) logs() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs ID",
		Short: "Print what an invocation wrote",
		Args:  arguments("the ID of an invocation"),
		RunE: w.online(func(ctx context.Context, api *client.Client, args []string) error {
			return w.printLog(ctx, api, args[0], follow)
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the invocation is finished")
	return cmd
}

// printLog prints the log of an invocation as it is, or until it is finished.
func (w World) printLog(ctx context.Context, api *client.Client, id string, follow bool) error {
	style, cursor := view.StyleOf(w.Stdout), ""
	for {
		// The record is read first: lines that come between the two reads are
		// then printed, and not taken for the end.
		inv, err := api.Invocation(ctx, id)
		if err != nil {
			return err
		}
		lines, err := api.Logs(ctx, id, cursor)
		if err != nil {
			return err
		}
		for _, l := range lines {
			view.Line(w.Stdout, style, l)
			cursor = l.Cursor
		}
		switch {
		case len(lines) > 0 && follow:
			continue // perhaps there are more already
		case !follow || inv.State.Terminal():
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func (w World) cancel() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID",
		Short: "End an invocation, whether it waits or runs",
		Args:  arguments("the ID of an invocation"),
		RunE: w.online(func(ctx context.Context, api *client.Client, args []string) error {
			inv, err := api.Cancel(ctx, args[0])
			if err != nil {
				return err
			}
			if inv.State == invocation.Cancelled {
				fmt.Fprintf(w.Stdout, "%s is cancelled\n", inv.ID)
				return nil
			}
			fmt.Fprintf(w.Stdout, "%s is being stopped by its worker\n", inv.ID)
			return nil
		}),
	}
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
