namespace Ndif.Protocol.Programs;

/// <summary>
/// The sites of a generation that belong to no module of the model: its result, and the tokens that it passes to a streamer. A language
/// model's tree shows them as nnsight's does.
/// </summary>
public static class GeneratorSites
{
    /// <summary>Its output is the result: the token ids [batch, prompt + new]. Read only.</summary>
    public const string Generator = "generator";

    /// <summary>
    /// Its output is first the prompts' ids [batch, seq], before their pass, and then each new token [batch]. A new token can be replaced:
    /// the row continues with the replacement.
    /// </summary>
    public const string Streamer = "generator.streamer";

    /// <summary>Both sites as part of a module tree.</summary>
    public static ModuleInfo Info { get; } = new()
    {
        Name = Generator, ClassName = "Generator", Children = { new ModuleInfo { Name = "streamer", ClassName = "Streamer" } },
    };

    /// <summary>True for the path of one of these sites.</summary>
    public static bool Contains(string path) => path is Generator or Streamer;
}
