using System.Text.RegularExpressions;

namespace Ndif.Protocol;

/// <summary>The name of a model on a service: "id", or "id@revision" where a revision is asked for.</summary>
public static partial class ModelNames
{
    private const int MaxPartLength = 200;

    /// <summary>
    /// Whether a text is an id on the Hugging Face hub: one or two segments of plain characters, so that it points to no other place in a
    /// file system. (validate_repo_id in huggingface_hub/utils/_validators.py)
    /// </summary>
    public static bool IsHubId(string id) =>
        id.Length <= MaxPartLength && HubId().IsMatch(id) && !id.Contains("..", StringComparison.Ordinal);

    /// <summary>Whether a text is a branch ("refs/pr/1"), a tag or a commit, and points to no other place in a file system.</summary>
    public static bool IsRevision(string revision) =>
        revision.Length <= MaxPartLength && Revision().IsMatch(revision) && !revision.Contains("..", StringComparison.Ordinal);

    /// <summary>The name of an id and a revision.</summary>
    public static string Format(string id, string revision) => revision.Length == 0 ? id : $"{id}@{revision}";

    /// <summary>The name of the model to which a program refers.</summary>
    public static string GetName(this ModelRef model) => Format(model.Id, model.Revision);

    /// <summary>The name of a deployed model.</summary>
    public static string GetName(this Deployment deployment) => Format(deployment.Model, deployment.Revision);

    /// <summary>Every name under which a model is found: its id, and its id with its revision if that is known.</summary>
    public static IReadOnlyList<string> GetNames(string id, string revision) => revision.Length == 0 ? [id] : [id, Format(id, revision)];

    /// <summary>The id and the revision of a name.</summary>
    public static ModelRef Parse(string name) => name.LastIndexOf('@') is > 0 and var at
        ? new ModelRef { Id = name[..at], Revision = name[(at + 1)..] }
        : new ModelRef { Id = name };

    [GeneratedRegex(@"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?\z")]
    private static partial Regex HubId();

    [GeneratedRegex(@"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*\z")]
    private static partial Regex Revision();
}
