/** An executor image, ready to be attached: converted once per digest. */
export interface Image {
  /** As the user wrote it. */
  readonly reference: string;
  /** `sha256:…` of the image's manifest. */
  readonly digest: string;
  /** Read-only EROFS file with the root file system: owners, modes, links and extended attributes as in the layers. */
  readonly erofsPath: string;
  readonly config: ImageConfig;
}

/**
 * What of the image's own configuration reaches the steps of a run. Its entrypoint, command and working directory do
 * not: the executor takes their place, and steps work in the project's folder.
 */
export interface ImageConfig {
  /** `NAME=value` pairs of the image. */
  readonly environment: Readonly<Record<string, string>>;
  /** As whom the steps run. */
  readonly user: ImageUser;
}

/** The `USER` of an image, as numbers. */
export interface ImageUser {
  readonly userId: number;
  readonly groupId: number;
  /** Groups that the user is in besides. */
  readonly furtherGroupIds: readonly number[];
  /** Home folder, where the image's environment names none. */
  readonly home: string;
}
