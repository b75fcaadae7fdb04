"""How a net is tested: the paper's protocols for ImageNet, anybody's CIFAR net, and other projects' weights."""
