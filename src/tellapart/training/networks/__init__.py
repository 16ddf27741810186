"""Networks that are trained whole: ours for small pictures, the tutorials' CNN, and any of timm's. PyTorch is imported here."""
