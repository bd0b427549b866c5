traced raise trust raise 0002
# A boot is good for one such command: the next finds the TPM locked.
traced delegate trust admin delegate --on-lock-failure=exit
