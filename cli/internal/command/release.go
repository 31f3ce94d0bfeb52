package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/spf13/cobra"
)

// release is what the commands that move a site's pointer have in common: a
// site, and how its state is shown.
type release struct {
	World
	site   string
	asJSON bool
}

// release makes one of them.
func (w World) release(use, short, long string, args cobra.PositionalArgs, run func(ctx context.Context, r release, api *client.Client, args []string) error) *cobra.Command {
	r := release{World: w}
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: args,
		RunE: w.online(func(ctx context.Context, api *client.Client, args []string) error {
			return run(ctx, r, api, args)
		}),
	}
	siteFlag(cmd, &r.site)
	jsonFlag(cmd, &r.asJSON)
	return cmd
}

func (w World) publish() *cobra.Command {
	return w.release("publish ID", "Let a site's callers and schedules get a deploy", `Let a site's callers and schedules get a deploy: one that is ready, however old.

The ID may be cut to its first characters, four at least.`, arguments("the ID of a deploy"),
		func(ctx context.Context, r release, api *client.Client, args []string) error {
			return r.move(ctx, api, args[0])
		})
}

func (w World) rollback() *cobra.Command {
	return w.release("rollback [ID]", "Publish what was published before", `Publish what was published before, or the deploy with the given ID.

Another rollback goes further back. Runs that were accepted stay with the deploy
that accepted them, unless their function says onRollback: 'latest'. The ID may
be cut to its first characters, four at least.`, arguments("[ID]"),
		func(ctx context.Context, r release, api *client.Client, args []string) error {
			if len(args) == 1 {
				return r.move(ctx, api, args[0])
			}
			before, err := api.Site(ctx, r.site)
			if err != nil {
				return err
			}
			now, err := api.Rollback(ctx, r.site)
			if err != nil {
				return err
			}
			return r.moved(before.DeployID, now)
		})
}

// move publishes a deploy by its ID, or the beginning of it.
func (r release) move(ctx context.Context, api *client.Client, text string) error {
	before, err := api.Site(ctx, r.site)
	if err != nil {
		return err
	}
	id, err := resolve(ctx, api, r.site, text)
	if err != nil {
		return err
	}
	now, err := api.Publish(ctx, r.site, id)
	if err != nil {
		return err
	}
	return r.moved(before.DeployID, now)
}

// moved shows where the pointer of the site was and is.
func (r release) moved(from string, to api.Deploy) error {
	if r.asJSON {
		return r.printJSON(struct {
			From string `json:"from"` // empty: nothing was published
			To   string `json:"to"`
			api.Deploy
		}{from, to.ID, to})
	}
	style := view.StyleOf(r.Stdout)
	fmt.Fprintf(r.Stdout, "%s %s is published at %s\n", style.Good("Deploy"), to.ID, to.URL)
	fmt.Fprintf(r.Stdout, "  %s %s → %s\n", style.Dim("moved"), cmp.Or(from, "nothing"), to.ID)
	if to.Title != "" {
		fmt.Fprintf(r.Stdout, "  %s %s\n", style.Dim("title"), view.Clean(to.Title))
	}
	return nil
}

func (w World) unpublish() *cobra.Command {
	return w.release("unpublish", "Let a site serve nothing", `Let a site serve nothing: its callers get 404, and its schedules rest.

Its deploys stay where they are, on their permalinks; nightshift rollback brings
the published one back.`, arguments(),
		func(ctx context.Context, r release, api *client.Client, _ []string) error {
			before, err := api.Site(ctx, r.site)
			if err != nil {
				return err
			}
			now, err := api.Unpublish(ctx, r.site)
			if err != nil {
				return err
			}
			if r.asJSON {
				return r.printJSON(now)
			}
			if before.DeployID == "" {
				fmt.Fprintf(r.Stdout, "Nothing was published on site %s\n", r.site)
				return nil
			}
			fmt.Fprintf(r.Stdout, "Site %s serves nothing now; nightshift rollback%s brings %s back\n", r.site, onSite(r.site), before.DeployID)
			return nil
		})
}

func (w World) lock() *cobra.Command {
	return w.release("lock", "Keep a site at its published deploy", `Keep a site at its published deploy, until nightshift unlock.

Whatever would publish another one is refused: deploy --prod, publish, rollback,
unpublish, here and over the API. Drafts and branches are deployed as ever.`, arguments(),
		func(ctx context.Context, r release, api *client.Client, _ []string) error {
			site, err := api.Site(ctx, r.site)
			if err != nil {
				return err
			}
			if site.DeployID == "" {
				return fault.New(fault.Conflict, "nothing is published on site %s, so there is nothing to lock it to; publish a deploy first", r.site)
			}
			if _, err := api.Lock(ctx, site.DeployID); err != nil {
				return err
			}
			return r.show(ctx, api, fmt.Sprintf("Site %s is locked to %s until nightshift unlock%s", r.site, site.DeployID, onSite(r.site)))
		})
}

func (w World) unlock() *cobra.Command {
	return w.release("unlock", "End what nightshift lock began", "", arguments(),
		func(ctx context.Context, r release, api *client.Client, _ []string) error {
			site, err := api.Site(ctx, r.site)
			if err != nil {
				return err
			}
			if !site.Locked {
				return r.show(ctx, api, fmt.Sprintf("Site %s is not locked", r.site))
			}
			if _, err := api.Unlock(ctx, site.DeployID); err != nil {
				return err
			}
			return r.show(ctx, api, fmt.Sprintf("Site %s is unlocked", r.site))
		})
}

// show shows the site as it is now: with --json the whole of it.
func (r release) show(ctx context.Context, api *client.Client, text string) error {
	if !r.asJSON {
		fmt.Fprintln(r.Stdout, text)
		return nil
	}
	site, err := api.Site(ctx, r.site)
	if err != nil {
		return err
	}
	return r.printJSON(site)
}

// maxListed bounds a list of deploys.
const maxListed = 1000

func (w World) deploys() *cobra.Command {
	var limit int
	cmd := w.release("deploys", "List a site's deploys, newest first", "", arguments(),
		func(ctx context.Context, r release, control *client.Client, _ []string) error {
			if limit < 1 || limit > maxListed {
				return fault.New(fault.Invalid, "--limit is %d; it must be 1 to %d", limit, maxListed)
			}
			list, err := control.Deploys(ctx, r.site, limit)
			switch {
			case err != nil:
				return err
			case r.asJSON:
				return r.printJSON(append([]api.Deploy{}, list...))
			case len(list) == 0:
				fmt.Fprintf(r.Stdout, "There are no deploys of site %s yet; nightshift deploy%s makes one\n", r.site, onSite(r.site))
				return nil
			}
			view.Deploys(r.Stdout, view.StyleOf(r.Stdout), list, time.Now())
			return nil
		})
	cmd.Flags().IntVar(&limit, "limit", 20, "`number` of deploys at most")
	return cmd
}

const (
	// idLength is the length of a deploy's ID.
	idLength = 24
	// minPrefix is how much of it has to be written.
	minPrefix = 4
)

// resolve finds the deploy that the beginning of an ID means.
func resolve(ctx context.Context, api *client.Client, site, text string) (string, error) {
	switch {
	case len(text) >= idLength:
		return text, nil
	case len(text) < minPrefix:
		return "", fault.New(fault.Invalid, "%q is too short for the ID of a deploy; write %d characters of it at least. nightshift deploys%s lists them", text, minPrefix, onSite(site))
	}
	list, err := api.Deploys(ctx, site, maxListed)
	if err != nil {
		return "", err
	}
	var found []string
	for _, d := range list {
		if strings.HasPrefix(d.ID, strings.ToLower(text)) {
			found = append(found, d.ID)
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fault.New(fault.NotFound, "site %s has no deploy whose ID begins with %s; nightshift deploys%s lists the newest, and an older one needs its whole ID", site, text, onSite(site))
	default:
		return "", fault.New(fault.Invalid, "%s fits %d deploys of site %s; write more of it: %s", text, len(found), site, strings.Join(found[:min(len(found), 5)], ", "))
	}
}
