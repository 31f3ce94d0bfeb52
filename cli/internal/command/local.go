package command

import (
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/deploy"
	"github.com/nightshift/nightshift/cli/internal/dev"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/spf13/cobra"
)

func (w World) dev() *cobra.Command {
	cfg := dev.Config{}
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Run a site here: all services in one process, redeployed on change",
		Long: `Run a site here: all services in one process, redeployed on change.

The store is, in this order: --redis or NIGHTSHIFT_REDIS_URL; a redis-server or
valkey-server on PATH; one in memory, which forgets everything at the end.`,
		Args: arguments("[DIR]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			logger, err := w.logger()
			if err != nil {
				return err
			}
			for _, port := range []int{cfg.Port, cfg.AdminPort} {
				if port < 0 || port > 65535 {
					return fault.New(fault.Invalid, "%d is not a port; ports are 1 to 65535, and 0 takes a free one", port)
				}
			}
			if cfg.RedisURL == "" {
				cfg.RedisURL = w.Getenv("NIGHTSHIFT_REDIS_URL")
			}
			cfg.Dir, cfg.Token, cfg.Logger = directory(args), w.Getenv("NIGHTSHIFT_TOKEN"), logger
			cfg.Out, cfg.Style = w.Stdout, view.StyleOf(w.Stdout)
			return dev.Run(cmd.Context(), cfg)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&cfg.Port, "port", 8888, "port for calls of functions; 0 takes a free one")
	flags.IntVar(&cfg.AdminPort, "admin-port", 8889, "port of the control plane; 0 takes a free one")
	flags.StringVar(&cfg.RedisURL, "redis", "", "`URL` of a Redis to use instead of an embedded one")
	flags.StringVar(&cfg.DataDir, "data", "", "`folder` for everything that is kept (default DIR/.nightshift)")
	functionsFlag(cmd, &cfg.Functions)
	flags.BoolVar(&cfg.Cron, "cron", false, "let schedules fire by themselves")
	return cmd
}

// functionsFlag is --functions, which goes before what netlify.toml says.
func functionsFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "functions", "", "`directory` of the functions, in DIR (default: what netlify.toml says, or netlify/functions)")
}

func (w World) build() *cobra.Command {
	var functions string
	cmd := &cobra.Command{
		Use:   "build [DIR]",
		Short: "List what would be deployed, and what is wrong with it",
		Args:  arguments("[DIR]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := build.Build(cmd.Context(), build.Options{Root: directory(args), Directory: functions, Contexts: contexts(true, ""), Log: w.progress})
			if err != nil {
				return err
			}
			view.Problems(w.Stderr, view.StyleOf(w.Stderr), result.Problems)
			view.Functions(w.Stdout, view.StyleOf(w.Stdout), rowsOf(result), time.Now())
			if result.Publish != "" {
				fmt.Fprintf(w.Stdout, "  %s\n", view.Count(len(result.Files), "static file"))
			}
			if rules := view.Rules(len(result.Redirects), len(result.Headers)); rules != "" {
				fmt.Fprintf(w.Stdout, "  %s\n", rules)
			}
			if n := problem.Errors(result.Problems); n > 0 {
				fmt.Fprintf(w.Stderr, "%s; nightshift deploy refuses the site until there is none\n", view.Count(n, "error"))
				return errReported
			}
			return nil
		},
	}
	functionsFlag(cmd, &functions)
	return cmd
}

// contexts are the tables of [context] in netlify.toml that count for a deploy.
func contexts(prod bool, branch string) []string {
	switch {
	case prod && branch != "":
		return []string{"production", branch}
	case prod:
		return []string{"production"}
	case branch != "":
		return []string{"branch-deploy", branch}
	default:
		return []string{"deploy-preview"}
	}
}

// progress tells what a build is busy with.
func (w World) progress(line string) {
	fmt.Fprintln(w.Stderr, view.StyleOf(w.Stderr).Dim(line))
}

// rowsOf lists built functions, which have no host yet.
func rowsOf(result *build.Result) []view.Row {
	var rows []view.Row
	for _, f := range result.Functions {
		row := view.Row{Name: f.Name, Kind: f.Kind, Runtime: f.Runtime, Methods: view.Methods(f.Methods), URLs: f.Paths, Schedule: f.Schedule, Timezone: f.Timezone, RateLimit: f.RateLimit, PreferStatic: f.PreferStatic}
		switch {
		case f.Kind == function.Scheduled:
			row.URLs = nil // a path of its own only keeps others away
		case len(f.Paths) == 0:
			row.URLs = []string{function.DefaultPath(f.Name)}
		}
		rows = append(rows, row)
	}
	return rows
}

func (w World) deploy() *cobra.Command {
	var prod, asJSON bool
	var branch, site, functions string
	cmd := &cobra.Command{
		Use:   "deploy [DIR]",
		Short: "Build a site and send it to an installation",
		Long: `Build a site and send it to the installation that NIGHTSHIFT_API_URL names.

Without --prod the deploy is a draft: it has a URL of its own, and the site's
callers and schedules stay with the deploy that is published. With --prod it is
published at once. A site with errors is not deployed.`,
		Args: arguments("[DIR]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := w.client()
			if err != nil {
				return err
			}
			defer api.Close()
			result, err := build.Build(cmd.Context(), build.Options{Root: directory(args), Directory: functions, Contexts: contexts(prod, branch), Log: w.progress})
			if err != nil {
				return err
			}
			style := view.StyleOf(w.Stderr)
			view.Problems(w.Stderr, style, result.Problems)
			if n := problem.Errors(result.Problems); n > 0 {
				fmt.Fprintf(w.Stderr, "%s; nothing was deployed\n", view.Count(n, "error"))
				return errReported
			}
			if len(result.Functions)+len(result.Files)+len(result.Redirects) == 0 {
				return fault.New(fault.NotFound, "there are no functions in %s; put one there, for example hello.mjs", result.Directory)
			}
			done, err := deploy.Run(cmd.Context(), api, deploy.Request{
				Site: site, Branch: branch, Draft: !prod, Functions: result.Functions, Files: result.Files,
				Redirects: result.Redirects, Headers: result.Headers,
				Uploading: func(artifacts, files int) {
					text := fmt.Sprintf("%s, %s to upload", view.Count(len(result.Functions), "function"), view.Count(artifacts, "artifact"))
					if result.Publish != "" {
						text += fmt.Sprintf("; %s, %d to upload", view.Count(len(result.Files), "static file"), files)
					}
					if rules := view.Rules(len(result.Redirects), len(result.Headers)); rules != "" {
						text += "; " + rules
					}
					fmt.Fprintln(w.Stderr, style.Dim(text))
				},
			})
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(w.Stdout)
				encoder.SetIndent("", "  ")
				return encoder.Encode(done)
			}
			printDeploy(w, done, prod)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&prod, "prod", false, "publish the deploy: from then on the site's callers and schedules get it")
	flags.StringVar(&branch, "branch", "", "`name` of the branch; the newest deploy of it is at <branch>--<site>")
	flags.StringVar(&site, "site", defaultSite, "`name` of the site")
	functionsFlag(cmd, &functions)
	flags.BoolVar(&asJSON, "json", false, "print the deploy as JSON")
	return cmd
}

func (w World) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  arguments(),
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(w.Stdout, "nightshift %s %s/%s %s\n", w.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return nil
		},
	}
}
