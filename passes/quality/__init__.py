"""What placements lose in quality, measured: sensitivities of outputs, and plans under noise."""
