"""The curves of `growth`: each module measures one part at several sizes and returns rows."""
