package command

import (
	"fmt"
	"runtime"
	"time"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/problem"
	"github.com/nightshift/nightshift/cli/internal/dev"
	"github.com/nightshift/nightshift/cli/internal/view"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/callback"
	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/secret"
	"github.com/spf13/cobra"
)

func (w World) dev() *cobra.Command {
	cfg := dev.Config{}
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Run a site here: all services in one process, redeployed on change",
		Long: `Run a site here: all services in one process, redeployed on change.

The store is, in this order: --redis or NIGHTSHIFT_REDIS_URL; a redis-server or
valkey-server on PATH; one in memory, which forgets everything at the end.

Callbacks (Nightshift-Callback) may go to this machine too. They are signed with
NIGHTSHIFT_CALLBACK_SECRET, or else with what is in DIR/.nightshift/callback.secret.`,
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
			cfg.CallbackSecret, cfg.CallbackAllow = secret.Text(w.Getenv(callback.Setting)), w.Getenv("NIGHTSHIFT_CALLBACK_ALLOW")
			cfg.Isolation, cfg.FunctionReadable = w.Getenv("NIGHTSHIFT_WORKER_ISOLATION"), w.Getenv("NIGHTSHIFT_FUNCTION_READABLE")
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
	var asJSON bool
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
			if n := problem.Errors(result.Problems); asJSON && n > 0 {
				return detailed{fault.New(fault.Invalid, "the site has %s; nightshift deploy refuses it until there is none", view.Count(n, "error")), result.Problems, nil}
			}
			if asJSON {
				return w.printJSON(built(result))
			}
			if len(result.Functions) > 0 || result.Publish == "" {
				view.Functions(w.Stdout, view.StyleOf(w.Stdout), view.Built(result.Functions, "", false), time.Now())
			}
			if result.Publish != "" {
				fmt.Fprintf(w.Stdout, "  %s\n", view.Count(len(result.Files), "static file"))
			}
			if rules := view.Rules(len(result.Redirects), len(result.Headers)); rules != "" {
				fmt.Fprintf(w.Stdout, "  %s\n", rules)
			}
			if n := problem.Errors(result.Problems); n > 0 {
				return fault.New(fault.Invalid, "the site has %s; nightshift deploy refuses it until there is none", view.Count(n, "error"))
			}
			return nil
		},
	}
	functionsFlag(cmd, &functions)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// builtSite is the document of a build.
type builtSite struct {
	Functions   []api.Function    `json:"functions"`
	Files       int               `json:"file_count"`
	Redirects   int               `json:"redirect_count"`
	HeaderRules int               `json:"header_rule_count"`
	Warnings    []problem.Problem `json:"warnings"`
}

func built(result *build.Result) builtSite {
	return builtSite{
		Functions: view.Built(result.Functions, "", false), Files: len(result.Files),
		Redirects: len(result.Redirects), HeaderRules: len(result.Headers), Warnings: append([]problem.Problem{}, result.Problems...),
	}
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

func (w World) version() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  arguments(),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return w.printJSON(struct {
					Version string `json:"version"`
					OS      string `json:"os"`
					Arch    string `json:"arch"`
					Go      string `json:"go"`
				}{w.Version, runtime.GOOS, runtime.GOARCH, runtime.Version()})
			}
			fmt.Fprintf(w.Stdout, "nightshift %s %s/%s %s\n", w.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
