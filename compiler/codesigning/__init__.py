"""What h3c-codesign does: networks and designs from files, prices."""
