namespace Ndif;

/// <summary>The formatters of <see cref="TensorData"/> for notebooks.</summary>
internal sealed class TensorDataFormatterSource
{
    public IEnumerable<object> CreateTypeFormatters()
    {
        yield return new NotebookFormatter<TensorData>("text/html", tensor => NotebookText.ToHtml(tensor.ToString(), tensor));
        yield return new NotebookFormatter<TensorData>("text/plain", tensor => tensor.ToString());
    }
}
