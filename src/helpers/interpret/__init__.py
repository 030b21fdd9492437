"""iNterpret (07, 08): scores, calibration, errors, Grad-CAM, drift."""
