import { join } from 'node:path';
import type { CachedProject } from './cached-projects.ts';
import type { PackageHost } from './package-host.ts';
import { dotnetPackage } from './package-index.ts';

export function dotnet({ url, folder }: PackageHost): CachedProject {
  const { name, version } = dotnetPackage;
  const settings = `<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>netcoreapp3.1</TargetFramework>
    <UseAppHost>false</UseAppHost>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="${name}" Version="${version}" />
  </ItemGroup>
</Project>
`;
  const feeds = `<configuration>
  <packageSources>
    <clear />
    <add key="local" value="${url}/nuget/index.json" />
  </packageSources>
</configuration>
`;
  return {
    name: 'dotnet',
    tools: ['dotnet'],
    files: {
      'Pulumi.yaml': 'name: dotnet\nruntime: dotnet\n',
      'p.csproj': settings,
      'nuget.config': feeds,
      'Program.cs':
        'public static class Program { public static void Main() => System.Console.WriteLine(Greeting.Text); }\n',
      '.gitignore': 'bin\nobj\n',
    },
    environment: {},
    lock: [join(folder, 'roots/dotnet/usr/local/bin/dotnet'), 'restore', '--use-lock-file'],
    install: ['dotnet restore --locked-mode', 'dotnet run --no-restore'],
    installAgain: ['echo "restored: $(ls ~/.nuget/packages)"'],
    isProgram: false,
    installed: `${name} ${version}`,
    found: `restored: ${name}`,
  };
}
