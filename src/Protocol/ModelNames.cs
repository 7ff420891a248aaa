namespace Ndif.Protocol;

/// <summary>The name of a model on a service: "id", or "id@revision" where a revision is asked for.</summary>
public static class ModelNames
{
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
}
