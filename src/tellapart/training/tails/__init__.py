"""Fine-tuning the last stages of the bundled backbone on what its frozen stages say of varied views."""
