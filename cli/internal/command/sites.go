package command

import (
	"context"
	"fmt"

	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/client"
	"github.com/spf13/cobra"
)

func (w World) sites() *cobra.Command {
	cmd := w.listSites("sites")
	cmd.Long = `List the sites of the installation, or make one. The site "` + defaultSite + `" is always there.`
	cmd.AddCommand(w.listSites("list"), w.createSite())
	return cmd
}

func (w World) listSites(use string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   use,
		Short: "List the sites of the installation",
		Args:  arguments(),
		RunE: w.online(func(ctx context.Context, control *client.Client, _ []string) error {
			list, err := control.Sites(ctx)
			switch {
			case err != nil:
				return err
			case asJSON:
				return w.printJSON(append([]api.Site{}, list...))
			}
			view.Sites(w.Stdout, view.StyleOf(w.Stdout), list)
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (w World) createSite() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a site",
		Long: `Make a site. Its name becomes a part of its host name: lower-case letters, digits
and single hyphens between them, 37 at most.`,
		Args: arguments("the NAME of the site"),
		RunE: w.online(func(ctx context.Context, api *client.Client, args []string) error {
			site, err := api.CreateSite(ctx, args[0])
			switch {
			case err != nil:
				return err
			case asJSON:
				return w.printJSON(site)
			}
			style := view.StyleOf(w.Stdout)
			fmt.Fprintf(w.Stdout, "%s %s is made, for %s\n", style.Good("Site"), site.Name, site.URL)
			fmt.Fprintf(w.Stdout, "  %s nightshift deploy --prod --site %s\n", style.Dim("deploy"), site.Name)
			return nil
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
