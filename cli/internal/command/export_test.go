package command

import "github.com/spf13/cobra"

// Root is the tree of commands.
func Root(w World) *cobra.Command { return w.root() }
