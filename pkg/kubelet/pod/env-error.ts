/** The container cannot be configured as its spec says; becomes CreateContainerConfigError. */
export class ContainerConfigError extends Error {}
