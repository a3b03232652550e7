"""Programs that run one foreign token endpoint each, with packages of their own. Nothing here imports them."""
