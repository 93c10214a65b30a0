/** An executor image, ready to be attached: converted once per digest. */
export interface Image {
  /** As the user wrote it. */
  readonly reference: string;
  /** `sha256:…` of the image's manifest. */
  readonly digest: string;
  /** Read-only EROFS file with the root file system. */
  readonly erofsPath: string;
  readonly config: ImageConfig;
}

/** What of the image's own configuration reaches the steps of a run. */
export interface ImageConfig {
  /** `NAME=value` pairs of the image. */
  readonly environment: Readonly<Record<string, string>>;
}
