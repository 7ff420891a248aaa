namespace Ndif;

/// <summary>The formatters of <see cref="Saved"/> for notebooks: those of its result.</summary>
internal sealed class SavedFormatterSource
{
    public IEnumerable<object> CreateTypeFormatters()
    {
        yield return new NotebookFormatter<Saved>("text/html",
            saved => NotebookText.ToHtml(saved.ToString(), saved.HasValue ? saved.Result as TensorData : null));
        yield return new NotebookFormatter<Saved>("text/plain", saved => saved.ToString());
    }
}
