package command

import (
	"context"
	"fmt"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/spf13/cobra"
)

func (w World) audit() *cobra.Command {
	var q client.AuditQuery
	var since, until string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List what was done on the control plane, and by whom",
		Long: `List what was done on the control plane, and by whom, newest first, with what was
refused. It takes the root token, or one with the scope admin.`,
		Args: arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			if limit < 1 {
				return fault.New(fault.Invalid, "--limit is %d; it must be 1 or more", limit)
			}
			for name, end := range map[string]struct {
				text string
				into *time.Time
			}{"since": {since, &q.From}, "until": {until, &q.To}} {
				at, err := instantFlag(name, end.text)
				if err != nil {
					return err
				}
				if at != nil {
					*end.into = *at
				}
			}
			list, err := entries(ctx, control, q, limit)
			switch {
			case err != nil:
				return err
			case asJSON:
				return w.printJSON(list)
			case len(list) == 0:
				fmt.Fprintln(w.Stderr, "there are no such entries")
				return nil
			}
			view.Audit(w.Stdout, view.StyleOf(w.Stdout), list)
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&q.Site, "site", "", "only what is about the site with this `name`")
	flags.StringVar(&q.Actor, "actor", "", "only what was done with the token of this `name or ID`, or root")
	flags.StringVar(&since, "since", "", "only what happened then or later: an `instant` like 2030-01-31T08:00:00Z, or 2h for two hours ago")
	flags.StringVar(&until, "until", "", "only what happened before: an `instant`, or 2h for two hours ago")
	flags.IntVar(&limit, "limit", 50, "how many at most")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// entries reads as many entries as are wanted, page by page.
func entries(ctx context.Context, control *client.Client, q client.AuditQuery, limit int) ([]api.AuditEntry, error) {
	const most = 200
	all := []api.AuditEntry{}
	for {
		q.Limit = min(limit-len(all), most)
		page, err := control.Audit(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Entries...)
		if q.Cursor = page.NextCursor; q.Cursor == "" || len(all) >= limit {
			return all, nil
		}
	}
}
